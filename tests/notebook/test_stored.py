import json
import tomllib
from pathlib import Path

import pytest

from creativelib.errors import InputError
from creativelib.metrics.table import compare
from creativelib.notebook.stored import FOLDERS, figures, results

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_every_committed_result_is_read(file):
    found = figures(file.stem)
    written = json.loads(file.read_text())["figures"]
    assert {(name, f.value, f.low) for name, f in found.items()} == {
        (f["name"], f["value"], f["low"]) for f in written
    }


def test_wheels_hold_the_results():
    """On Colab no clone is at hand."""
    included = tomllib.loads((RESULTS.parent.parent / "pyproject.toml").read_text())["tool"][
        "hatch"
    ]["build"]["targets"]["wheel"]
    assert included["force-include"] == {"benchmarks/results": f"creativelib/{FOLDERS[0].name}"}


def test_another_name_gets_the_list_of_names():
    with pytest.raises(InputError, match=r"name is 'steering'; expected one of .*steering-main"):
        figures("steering")


def test_runs_are_those_that_the_table_was_made_of():
    runs = results("evaluation")
    table = figures("evaluation-table")
    assert len(runs) == 13 * 8 * 5 and {row["pictures"] for row in runs} == {16}
    valid = compare(runs, metrics=["true: valid"])["true: valid"]
    for method in valid.index:
        assert abs(100 * valid.loc[method, "value"] - table[f"{method}: true: valid"].value) < 0.01

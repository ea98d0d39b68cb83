import json
import re
import tomllib
from pathlib import Path

import pytest

from creativelib.errors import InputError
from creativelib.metrics.table import compare
from creativelib.notebook import stored
from creativelib.notebook.stored import FOLDERS, figures, results

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
OLD = re.compile(r"\b(FID|KID|JS)\b")


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_every_committed_result_is_read(file):
    found = figures(file.stem)
    written = json.loads(file.read_text())["figures"]
    same = {(f["name"], f["value"], f["low"]) for f in written if not OLD.search(f["name"])}
    assert same <= {(name, f.value, f.low) for name, f in found.items()}
    assert len(found) == sum("FID" in f["name"] for f in written) + len(same)


@pytest.fixture
def older(tmp_path, monkeypatch):
    """Results that were measured before names said whose eyes measured them."""

    def figure(name, bar=None, holds=None):
        return {
            "name": name,
            "value": 1,
            "unit": "",
            "bar": bar,
            "holds": holds,
            "low": 0,
            "high": 2,
        }

    written = [
        figure("plain: FID"),
        figure("- FID: valid"),
        figure("steering: FID, more than plain's", bar=0.05, holds=False),
        figure("steering: valid", bar=80, holds=True),
        figure("plain: KID"),
        figure("plain: CLIP: JS above its floor"),
        figure("CLIP: JS above its floor: valid and novel"),
    ]
    (tmp_path / "old.json").write_text(json.dumps({"figures": written}))
    columns = "method,FID,KID,KID's standard error,CLIP: JS above its floor,density"
    (tmp_path / "old-runs.csv").write_text(f"{columns}\nplain,0.5,0.1,0.01,0.2,1\n")
    monkeypatch.setattr(stored, "FOLDERS", (tmp_path,))


def test_older_names_are_todays_and_retired_metrics_are_left_out(older):
    found = figures("old")
    assert list(found) == [
        "plain: Frechet distance, judge",
        "- Frechet distance, judge: valid",
        "steering: Frechet distance, judge, more than plain's",
        "steering: valid",
    ]
    assert results("old") == [{"method": "plain", "Frechet distance, judge": 0.5, "density": 1}]


def test_a_bar_on_the_fid_neither_holds_nor_fails_for_another_encoders_distance(older):
    found = figures("old")
    far = found["steering: Frechet distance, judge, more than plain's"]
    assert (far.bar, far.holds) == (0.05, None) and found["steering: valid"].holds


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

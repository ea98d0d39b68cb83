import json
from pathlib import Path

import pytest

from creativelib.errors import InputError
from creativelib.measured import measured

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_every_committed_result_is_read(file):
    found, written = measured(file.stem), json.loads(file.read_text())["figures"]
    assert {(name, f.value, f.low) for name, f in found.items()} == {(f["name"], f["value"], f["low"]) for f in written}


def test_another_name_is_told_what_there_is():
    with pytest.raises(InputError, match=r"name is 'steering'; allowed are .*steering-main"):
        measured("steering")

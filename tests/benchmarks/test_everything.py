"""`make results`: every result that the book quotes has a benchmark, and a run can be resumed."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import everything
from benchmarks.everything import JOBS, Job

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FILES = sorted((ROOT / "benchmarks").rglob("*.py"))
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in FILES
    if file.name != "__init__.py"
]


def job(name, code="", alone=False, needs=None):
    command = (sys.executable, "-c", code)
    return Job(name, command, results=(name,), alone=alone, needs=needs)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(everything, "OUT", tmp_path)
    monkeypatch.setattr(everything, "MINUTES", tmp_path / "minutes.json")
    monkeypatch.setattr(everything, "fingerprint", lambda: "models")
    return tmp_path


def noting(place, name):
    """Write code that appends a name to a file."""
    return f"open({str(place / 'order')!r}, 'a').write({name!r} + ' ')"


def test_every_stored_result_belongs_to_a_benchmark():
    written = [result for each in JOBS for result in each.results]
    assert len(written) == len(set(written))
    stored = {file.stem for file in RESULTS.glob("*.json")} - {"minutes"}
    assert {name for name in stored if not name.endswith("-gpu")} <= set(written)
    assert len({each.name for each in JOBS}) == len(JOBS)


def test_every_command_names_a_module_that_exists():
    for each in JOBS:
        assert each.command[1] == "-m"
        assert each.command[2] in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports(name):
    """Nothing is measured: modules measure only when they are run."""
    importlib.import_module(name)


def test_the_shortest_come_first_and_those_that_need_the_machine_alone_last(place):
    (place / "minutes.json").write_text(json.dumps({"long": 9.0, "short": 1.0, "alone": 0.1}))
    jobs = [
        job(name, noting(place, name), alone=name == "alone") for name in ("alone", "long", "short")
    ]
    assert everything.measure(jobs, cores=1) == []
    assert (place / "order").read_text().split() == ["short", "long", "alone"]


def test_an_interrupted_run_resumes(place, monkeypatch):
    jobs = [job("a", noting(place, "a")), job("b", noting(place, "b"))]
    everything.measure(jobs[:1], cores=2)
    everything.measure(jobs, cores=2)
    assert (place / "order").read_text().split() == ["a", "b"]
    monkeypatch.setattr(everything, "fingerprint", lambda: "other models")
    everything.measure(jobs, cores=1)
    assert (place / "order").read_text().split() == ["a", "b", "a", "b"]


def test_a_failure_is_named_and_stops_no_other_job(place, capsys):
    found = everything.measure(
        [job("bad", "raise SystemExit('no such thing')"), job("good", noting(place, "good"))],
        cores=1,
    )
    assert found == ["bad"] and (place / "order").exists()
    assert "no such thing" in (place / "bad.log").read_text()
    assert "bad: failed" in capsys.readouterr().out
    assert everything.measure([job("bad"), job("good", noting(place, "again"))], cores=1) == []
    assert (place / "order").read_text().split() == ["good"]


def test_a_job_whose_data_is_missing_is_left_out(place, capsys):
    assert everything.measure([job("far", needs=place / "nowhere")], cores=1) == []
    assert "left out: far" in capsys.readouterr().out


def test_the_time_left_is_estimated_from_earlier_runs():
    jobs = [job("a"), job("b", alone=True), job("c")]
    assert (
        everything.left(jobs, {"a": 4.0, "b": 3.0}, cores=2)
        == "3 to go, about 5 minutes and 1 not timed before"
    )
    assert everything.left(jobs, {}, cores=2) == "3 to go, an unknown time"

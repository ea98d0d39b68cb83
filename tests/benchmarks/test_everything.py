"""`make results`: all that the book quotes has a benchmark, and a run goes on where it stopped."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import everything
from benchmarks.everything import JOBS, Job

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def job(name, code="", alone=False, needs=None):
    return Job(name, (sys.executable, "-c", code), (name,), alone, needs)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(everything, "OUT", tmp_path)
    monkeypatch.setattr(everything, "MINUTES", tmp_path / "minutes.json")
    monkeypatch.setattr(everything, "fingerprint", lambda: "models")
    return tmp_path


def noting(place, name):
    """Code that appends a name to a file."""
    return f"open({str(place / 'order')!r}, 'a').write({name!r} + ' ')"


def test_every_result_is_some_benchmarks():
    written = [result for each in JOBS for result in each.results]
    assert len(written) == len(set(written))
    stored = {file.stem for file in RESULTS.glob("*.json")} - {"minutes"}
    assert {name for name in stored if not name.endswith("-gpu")} <= set(written)
    assert len({each.name for each in JOBS}) == len(JOBS)


def test_every_command_names_a_script_that_is_there():
    assert all(Path(each.command[1]).is_file() for each in JOBS)


def test_the_shortest_come_first_and_those_that_want_the_machine_last(place):
    (place / "minutes.json").write_text(json.dumps({"long": 9.0, "short": 1.0, "alone": 0.1}))
    jobs = [
        job(name, noting(place, name), alone=name == "alone") for name in ("alone", "long", "short")
    ]
    assert everything.measure(jobs, cores=1) == []
    assert (place / "order").read_text().split() == ["short", "long", "alone"]


def test_a_run_that_was_cut_off_goes_on(place, monkeypatch):
    jobs = [job("a", noting(place, "a")), job("b", noting(place, "b"))]
    everything.measure(jobs[:1], cores=2)
    everything.measure(jobs, cores=2)
    assert (place / "order").read_text().split() == ["a", "b"]
    monkeypatch.setattr(everything, "fingerprint", lambda: "other models")
    everything.measure(jobs, cores=1)
    assert (place / "order").read_text().split() == ["a", "b", "a", "b"]


def test_what_fails_is_named_and_stops_no_other(place, capsys):
    found = everything.measure(
        [job("bad", "raise SystemExit('no such thing')"), job("good", noting(place, "good"))],
        cores=1,
    )
    assert found == ["bad"] and (place / "order").exists()
    assert "no such thing" in (place / "bad.log").read_text()
    assert "bad: failed" in capsys.readouterr().out
    assert everything.measure([job("bad"), job("good", noting(place, "again"))], cores=1) == []
    assert (place / "order").read_text().split() == ["good"]


def test_what_cannot_be_measured_here_is_said(place, capsys):
    assert everything.measure([job("far", needs=place / "nowhere")], cores=1) == []
    assert "left out: far" in capsys.readouterr().out


def test_the_time_left_is_what_was_measured():
    jobs = [job("a"), job("b", alone=True), job("c")]
    assert (
        everything.left(jobs, {"a": 4.0, "b": 3.0}, cores=2)
        == "3 to go, about 5 minutes and 1 not timed before"
    )
    assert everything.left(jobs, {}, cores=2) == "3 to go, an unknown time"

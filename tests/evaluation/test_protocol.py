"""Protocols: all cells once, resumed after a kill, shared among processes, never mixed up with another's results."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.evaluation.protocol import Cell, Protocol, read_rows, run_protocol

SMALL = Protocol(("plain", "steering"), ("pet", "plant"), seeds=2, pictures=3)


def made(cell: Cell) -> dict:
    return {"score": len(cell.method) + cell.seed}


def test_a_row_for_each_cell_in_a_file_of_json_lines(tmp_path):
    rows = list(run_protocol(SMALL, made, tmp_path / "deep" / "rows.jsonl"))
    assert len(rows) == 8 and {(r["method"], r["category"], r["seed"]) for r in rows} == {
        (m, c, s) for m in SMALL.methods for c in SMALL.categories for s in range(2)
    }
    lines = [
        json.loads(line) for line in (tmp_path / "deep" / "rows.jsonl").read_text().splitlines()
    ]
    assert lines[0] == {
        "protocol": {
            "methods": ["plain", "steering"],
            "categories": ["pet", "plant"],
            "seeds": 2,
            "pictures": 3,
        }
    }
    assert lines[1:] == rows == read_rows(SMALL, tmp_path / "deep" / "rows.jsonl")


def test_any_beginning_compares_all_methods():
    assert [cell.method for cell in SMALL.cells()][:4] == ["plain", "steering"] * 2


def test_what_is_there_is_not_made_again(tmp_path):
    file = tmp_path / "rows.jsonl"
    asked = []

    def once(cell):
        asked.append(cell)
        return made(cell)

    first = run_protocol(SMALL, once, file)
    part = [next(first) for _ in range(3)]
    assert list(run_protocol(SMALL, once, file))[:3] == part and len(asked) == len(set(asked)) == 8


@given(st.integers(1, 200))
def test_a_line_cut_short_is_made_again(tmp_path_factory, cut):
    file = tmp_path_factory.mktemp("cut") / "rows.jsonl"
    rows = list(run_protocol(SMALL, made, file))
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert list(run_protocol(SMALL, made, file)) == rows and sorted(
        file.read_bytes().splitlines()
    ) == sorted(whole.splitlines())


def test_a_killed_process_loses_the_cell_it_was_at(tmp_path):
    file = tmp_path / "rows.jsonl"
    code = (
        "import sys, time; from pathlib import Path; from creativelib.protocol import Protocol, run\n"
        "def slow(cell): time.sleep(0.05); return {'score': 1}\n"
        f"list(run({SMALL!r}, slow, Path(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(file)])
    while not file.exists() or file.read_bytes().count(b"\n") < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = read_rows(SMALL, file)
    assert 2 <= len(kept) < 8
    rows = list(run_protocol(SMALL, made, file))
    assert len(rows) == 8 and all(row in rows for row in kept)


def test_shares_together_are_the_whole(tmp_path):
    files = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for i, file in enumerate(files):
        list(run_protocol(SMALL, made, file, shard=(i, 3)))
    assert read_rows(SMALL, *files) == list(run_protocol(SMALL, made, tmp_path / "all.jsonl"))
    with pytest.raises(InputError, match="share is \\(3, 3\\)"):
        run_protocol(SMALL, made, files[0], shard=(3, 3))


def test_results_of_another_protocol_are_refused(tmp_path):
    file = tmp_path / "rows.jsonl"
    list(run_protocol(SMALL, made, file))
    other = Protocol(("plain",), ("pet",), seeds=2, pictures=3)
    for use in (lambda: list(run_protocol(other, made, file)), lambda: read_rows(other, file)):
        with pytest.raises(InputError, match="another protocol"):
            use()
    file.write_text("no json\n")
    with pytest.raises(InputError, match="no JSON"):
        read_rows(SMALL, file)


@pytest.mark.parametrize(
    "change",
    [{"methods": ()}, {"methods": ("a", "a")}, {"categories": ()}, {"seeds": 0}, {"pictures": 0}],
)
def test_bad_protocols(change):
    good = {"methods": ("a",), "categories": ("pet",), "seeds": 1, "pictures": 1}
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        Protocol(**good | change)

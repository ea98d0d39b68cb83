"""Protocols: all cells once, resumed after a kill, sharded, extended, made anew when changed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.evaluation.protocol import Cell, Protocol, read_rows, run_protocol

SMALL = Protocol(("plain", "steering"), ("pet", "plant"), seeds=2, pictures=3)


def made(cell: Cell) -> dict:
    return {"score": len(cell.method) + cell.seed}


def noting(asked: list):
    """Make a `make` that records the cells it was asked for."""

    def make(cell: Cell) -> dict:
        asked.append(cell)
        return made(cell)

    return make


def test_a_row_for_each_cell_in_a_file_of_json_lines(tmp_path):
    file = tmp_path / "deep" / "rows.jsonl"
    rows = list(run_protocol(SMALL, made, str(file)))
    cells = {(row["method"], row["category"], row["seed"]) for row in rows}
    wanted = {(m, c, s) for m in SMALL.methods for c in SMALL.categories for s in range(2)}
    assert len(rows) == 8 and cells == wanted
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == rows == read_rows(SMALL, file)


def test_any_beginning_compares_all_methods():
    assert [cell.method for cell in SMALL.cells()][:4] == ["plain", "steering"] * 2


def test_what_is_there_is_not_made_again(tmp_path):
    file = tmp_path / "rows.jsonl"
    asked = []
    first = run_protocol(SMALL, noting(asked), file)
    part = [next(first) for _ in range(3)]
    assert list(run_protocol(SMALL, noting(asked), file))[:3] == part
    assert len(asked) == len(set(asked)) == 8


@pytest.mark.parametrize(
    ("larger", "new"),
    [
        (replace(SMALL, methods=("plain", "steering", "mine")), 4),
        (replace(SMALL, seeds=3), 4),
        (replace(SMALL, categories=("pet",)), 0),
    ],
)
def test_a_method_or_a_seed_more_continues_from_the_finished_file(tmp_path, larger, new):
    file = tmp_path / "rows.jsonl"
    rows = list(run_protocol(SMALL, made, file))
    asked = []
    extended = list(run_protocol(larger, noting(asked), file))
    assert len(asked) == new and len(extended) == len(larger.cells())
    assert all(row in extended for row in rows if row["category"] in larger.categories)
    assert read_rows(SMALL, file) == rows


def test_a_changed_method_is_made_anew(tmp_path):
    file = tmp_path / "rows.jsonl"
    list(run_protocol(SMALL, made, file, identity=lambda cell: {"settings": 1}))

    def changed(cell: Cell) -> dict:
        return {"settings": 2 if cell.method == "steering" else 1}

    asked = []
    rows = list(run_protocol(SMALL, noting(asked), file, identity=changed))
    assert {cell.method for cell in asked} == {"steering"} and len(asked) == 4
    assert [row["identity"]["settings"] for row in rows] == [1, 2] * 4
    assert read_rows(SMALL, file) == rows


@given(st.integers(1, 200))
def test_a_line_cut_short_is_made_again(tmp_path_factory, cut):
    file = tmp_path_factory.mktemp("cut") / "rows.jsonl"
    rows = list(run_protocol(SMALL, made, file))
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert list(run_protocol(SMALL, made, file)) == rows
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_killed_process_loses_the_cell_it_was_at(tmp_path):
    file = tmp_path / "rows.jsonl"
    code = (
        "import sys, time\n"
        "from creativelib.evaluation.protocol import Protocol, run_protocol\n"
        "def slow(cell): time.sleep(0.05); return {'score': 1}\n"
        f"list(run_protocol({SMALL!r}, slow, sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(file)])
    while not file.exists() or file.read_bytes().count(b"\n") < 2:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    survived = read_rows(SMALL, file)
    assert 2 <= len(survived) < 8
    rows = list(run_protocol(SMALL, made, file))
    assert len(rows) == 8 and all(row in rows for row in survived)


def test_shards_together_are_the_whole(tmp_path):
    files = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for i, file in enumerate(files):
        list(run_protocol(SMALL, made, file, shard=(i, 3)))
    together = read_rows(SMALL, *files)
    assert together == list(run_protocol(SMALL, made, tmp_path / "all.jsonl"))
    asked = []
    rest = run_protocol(SMALL, noting(asked), tmp_path / "rest.jsonl", known=together[:5])
    assert list(rest) == together and len(asked) == 3
    with pytest.raises(InputError, match="shard is \\(3, 3\\)"):
        run_protocol(SMALL, made, files[0], shard=(3, 3))


ROW = '{"method": "a", "category": "pet", "seed": 0, "pictures": 3, "identity": {}}'


@pytest.mark.parametrize(
    "text",
    [
        "no json\n",
        "3\n",
        '{"protocol": {}}\n',
        '{"method": "a", "identity": {}}\n',
        ROW.replace("0", '"0"') + "\n",
        ROW.replace('"a"', '["a"]') + "\n",
        f"{ROW}\n\n{ROW}\n",
        f"{ROW}\nmy notes",
        "a diary without an end of line",
        "\xff",
        "[" * 100_000 + "\n",
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, text):
    file = tmp_path / "rows.jsonl"
    file.write_text(text, encoding="latin-1")
    before = file.read_bytes()
    for use in (lambda: run_protocol(SMALL, made, file), lambda: read_rows(SMALL, file)):
        with pytest.raises(InputError, match="not a row"):
            use()
    assert file.read_bytes() == before


def test_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(SMALL, tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        run_protocol(SMALL, made, tmp_path)
    (tmp_path / "file").touch()
    asked = []
    with pytest.raises(InputError, match="cannot be written"):
        next(run_protocol(SMALL, noting(asked), tmp_path / "file" / "rows.jsonl"))
    assert asked == []


def test_reading_does_not_need_to_write(tmp_path, monkeypatch):
    file = tmp_path / "rows.jsonl"
    rows = list(run_protocol(SMALL, made, file))
    cut = file.read_bytes()[:-9]
    file.write_bytes(cut)
    assert read_rows(SMALL, file) == rows[:-1] and file.read_bytes() == cut


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_row_is_written_whole_or_not_at_all(tmp_path, monkeypatch, error):
    file = tmp_path / "rows.jsonl"
    run = run_protocol(SMALL, made, file)
    rows = [next(run), next(run)]
    before = file.read_bytes()

    def full(descriptor):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(os, "fsync", full)
        next(run)
    assert file.read_bytes() == before
    assert list(run_protocol(SMALL, made, file))[:2] == rows


@pytest.mark.parametrize(
    "change",
    [{"methods": ()}, {"methods": ("a", "a")}, {"categories": ()}, {"seeds": 0}, {"pictures": 0}],
)
def test_bad_protocols(change):
    good = {"methods": ("a",), "categories": ("pet",), "seeds": 1, "pictures": 1}
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        Protocol(**good | change)

"""Files are written whole or not at all, and a folder belongs to one run."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from creativelib import files
from creativelib.errors import InputError, end_in_one_line
from creativelib.files import (
    atomic_write,
    cache_folder,
    claim,
    make_writable,
    remove_leftovers,
    write_json,
)

FULL = OSError(errno.ENOSPC, "No space left on device")
KILLED = """
import os, signal, sys
from creativelib.files import atomic_write
with atomic_write(sys.argv[1]) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def fails(error: BaseException):
    def fail(*args, **named):
        raise error

    return fail


def test_what_was_written_takes_the_place_of_the_old_file(tmp_path):
    file = tmp_path / "deep" / "a.b.png"
    for text in ("old", "new"):
        with atomic_write(str(file)) as part:
            assert part.name == file.name
            part.write_text(text)
        assert file.read_text() == text and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("where", ["body", "Path.chmod", "os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), SafetensorError("I/O error: full")])
def test_a_write_that_fails_anywhere_leaves_the_old_file_alone(tmp_path, monkeypatch, where, error):
    file = tmp_path / "file.json"
    file.write_text("old")
    if where != "body":
        monkeypatch.setattr(f"creativelib.files.{where}", fails(error))
    raised = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OSError
    with pytest.raises(raised) as caught, atomic_write(file) as part:
        part.write_text("new")
        if where == "body":
            raise error
    if raised is OSError:
        assert caught.value.filename == str(file) and caught.value.strerror
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_says_who_can_read_a_file(tmp_path, mask):
    """Safetensors makes files for their owner only."""
    old = os.umask(mask)
    try:
        with atomic_write(tmp_path / "file") as part:
            part.touch(0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    file = tmp_path / "file.json"
    for clean in (lambda: write_json(file, 1), lambda: make_writable("out", tmp_path)):
        process = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
        assert process.returncode == -signal.SIGKILL and any(tmp_path.glob(".creativelib-*"))
        clean()
        assert list(tmp_path.iterdir()) == [file]


def test_what_a_living_process_writes_is_left_alone(tmp_path, monkeypatch):
    with atomic_write(tmp_path / "file") as part:
        part.touch()
        write_json(tmp_path / "other", 1)
        monkeypatch.setattr("psutil.pid_exists", lambda pid: False)
        monkeypatch.setattr("platform.node", lambda: "another machine")
        remove_leftovers(tmp_path)
        assert part.is_file()


def test_a_cache_without_a_home(monkeypatch):
    monkeypatch.setattr(Path, "home", fails(RuntimeError("Could not determine home directory.")))
    monkeypatch.setenv("CREATIVELIB_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.setenv("CREATIVELIB_CACHE", "")
    with pytest.raises(InputError, match="CREATIVELIB_CACHE is not set, and neither is HOME"):
        cache_folder()


def test_a_folder_belongs_to_one_run(tmp_path):
    claim(tmp_path, {"seed": 3, "settings": {"steps": 5, "lr": 0.1}})
    claim(tmp_path, {"seed": 3, "settings": {"steps": 5, "lr": 0.2}, "words": ("a", "b")})
    (tmp_path / "result").touch()
    claim(tmp_path, {"words": ("a", "b"), "seed": 3, "settings": {"steps": 5, "lr": 0.2}})
    with pytest.raises(InputError, match="seed is 3 and not 9, settings.steps is 5 and not 6; e"):
        claim(tmp_path, {"seed": 9, "settings": {"steps": 6, "lr": 0.2}, "words": ["a", "b"]})
    with pytest.raises(InputError, match="settings.steps is 5 and not None, .* and 1 more; e"):
        claim(tmp_path, {"seed": 9, "settings": {}})


@pytest.mark.parametrize("text", [None, "", "3", "[1]", "{", b"\xff"])
def test_a_folder_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden").touch()
    claim(tmp_path, {})
    (tmp_path / files.SETTINGS).unlink()
    (tmp_path / "mine.png").touch()
    if text is not None:
        (tmp_path / files.SETTINGS).write_bytes(text if isinstance(text, bytes) else text.encode())
    words = "holds mine.png but no settings.json" if text is None else "cannot be read"
    with pytest.raises(InputError, match=f"out is .*{words}.*; expected .*another folder"):
        claim(tmp_path, {})


@pytest.mark.parametrize(
    "error, code, line",
    [
        (InputError("seed is -1;\nexpected 0"), 2, "error: seed is -1; expected 0"),
        (FULL, 2, "error: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_a_command_ends_in_one_line(capsys, error, code, line):
    with pytest.raises(SystemExit) as ended, end_in_one_line():
        raise error
    assert ended.value.code == code and capsys.readouterr().err == line + "\n"

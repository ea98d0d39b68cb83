"""Write files as a whole or not at all, into folders that each belong to one run."""

import errno
import json
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from safetensors import SafetensorError

from .errors import InputError

# A run's arguments, in its folder.
SETTINGS = "settings.json"
# Folders of files that are being written: the process's id, a random number, the machine.
ASIDE = re.compile(r"\.creativelib-(\d+)-[0-9a-f]{8}-(.*)")


@contextmanager
def atomic_write(file: str | Path) -> Iterator[Path]:
    """Yield a path to write to, and put what was written in the place of `file` on success.

    Readers find the old file or the new one, after a crash, a full disk or with other writers too:
    the content is on disk before it takes the file's place. The umask says who can read it. The
    folder of `file` is created if it does not exist.

    The path has the file's name and lies in a hidden folder beside it, which is removed at the end.
    That of a process that was killed is removed by the next write into the same folder. Raises
    OSError, which names `file`, if it cannot be written.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(file.parent)
    name = f".creativelib-{os.getpid()}-{secrets.token_hex(4)}-{platform.node()}"
    aside = file.parent / name
    part = aside / file.name
    try:
        aside.mkdir()
        yield part
        # Libraries that write aside themselves, such as safetensors, make files for the owner only.
        part.chmod(aside.stat().st_mode & 0o666)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, str(file)) from error
    except SafetensorError as error:  # safetensors wraps the system's errors
        raise OSError(errno.EIO, str(error), str(file)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove from a folder what killed processes of this machine were writing into it."""
    for each in folder.glob(".creativelib-*"):
        found = ASIDE.fullmatch(each.name)
        if found and found[2] == platform.node() and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(each, ignore_errors=True)


def write_json(file: str | Path, value: Any, indent: int = 2) -> None:
    """Write a value as JSON, as a whole or not at all."""
    with atomic_write(file) as part:
        part.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8", newline="\n")


def cache_folder() -> Path:
    """Return the folder for densities, training data and checkpoints.

    It is $CREATIVELIB_CACHE, or ~/.cache/creativelib if that is not set. Raises InputError if there
    is no home either.
    """
    named = os.environ.get("CREATIVELIB_CACHE")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "creativelib"
    except RuntimeError:
        raise InputError(
            "CREATIVELIB_CACHE is not set, and neither is HOME; expected a folder that can be "
            "written in one of them"
        ) from None


def make_writable(name: str, folder: str | Path) -> None:
    """Create a folder if needed and check that files can be written into it.

    `name` is the argument that an error names. What killed processes were writing there is removed.
    Raises InputError if nothing can be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{name} is {str(folder)!r}, which cannot be written ({error.strerror}); expected a "
            "folder that can"
        ) from None
    remove_leftovers(folder)


def claim(folder: Path, arguments: Mapping[str, Any]) -> None:
    """Keep a folder for one run: write the run's arguments into settings.json, or compare them.

    A folder without files, or with nothing but settings.json, is free. Hidden files and folders do
    not count. Raises InputError if the folder holds a run with other arguments, naming those that
    differ, and if it holds files that no run claims.
    """
    file = folder / SETTINGS
    wanted = json.loads(json.dumps(arguments))
    files = sorted(each.name for each in folder.iterdir() if each.is_file())
    kept = [name for name in files if name != SETTINGS and not name.startswith(".")]
    if not kept:
        write_json(file, wanted)
        return
    if not file.is_file():
        raise InputError(
            f"out is {str(folder)!r}, which holds {kept[0]} but no {SETTINGS} of a run; expected "
            "a folder without files, or another folder"
        )
    try:
        found = dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise InputError(
            f"out is {str(folder)!r}, whose {SETTINGS} cannot be read; expected another folder"
        ) from None
    if found != wanted:
        raise InputError(
            f"out {str(folder)!r} holds a run with other settings: {differences(found, wanted)}; "
            "expected the same arguments, or another folder"
        )


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say how two runs' settings differ, such as "seed is 3 and not 99"."""
    lines = _differences(found, wanted)
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return ", ".join(lines[:3]) + more


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in dict.fromkeys([*found, *wanted]):
        old = found.get(name)
        new = wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += [f"{name}.{line}" for line in _differences(old, new)]
        elif old != new:
            lines.append(f"{name} is {old!r} and not {new!r}")
    return lines

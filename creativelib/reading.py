"""Read files that others wrote: JSON, and folders with a list of their sha256 sums."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .errors import InputError

# How the small text file begins that git-lfs leaves in place of a large one.
LFS_POINTER = b"version https://git-lfs"
SUMS = "sha256.json"
# Files that are read, and so have to be summed.
SUMMED = (".json", ".safetensors", ".txt")
REASON = 300  # characters of a library's message that are repeated


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads files into an InputError about `what`."""
    try:
        yield
    except BaseException as error:
        # A panic of a library in Rust is no Exception.
        damaged = isinstance(error, Exception) or type(error).__name__ == "PanicException"
        if not damaged or isinstance(error, InputError | torch.OutOfMemoryError):
            raise
        reason = " ".join(str(error).split())[:REASON]
        raise InputError(
            f"{what} cannot be loaded ({type(error).__name__}: {reason}); expected whole files "
            "that fit each other, fetch them again"
        ) from error


def check_file(file: Path) -> None:
    """Raise InputError unless a file is there, can be read, and is no pointer of git-lfs."""
    try:
        if not file.is_file():
            what = "is a link to nothing" if file.is_symlink() else "is missing"
            raise InputError(
                f"file {str(file)!r} {what}; expected the whole folder, fetch it again"
            )
        with file.open("rb") as stored:
            pointer = stored.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError as error:
        raise InputError(
            f"file {str(file)!r} cannot be read ({error.strerror}); expected one that can"
        ) from None
    if pointer:
        raise InputError(
            f"file {str(file)!r} is git-lfs's pointer to a file that was not fetched; run "
            "`git lfs pull` in its repository"
        )


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises InputError as `check_file` does, and for a file that is no JSON, is nested too deeply, or
    holds something else.
    """
    check_file(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"file {str(file)!r} is no JSON ({reason}); expected a whole file, fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise InputError(
            f"file {str(file)!r} holds a {type(content).__name__}; expected an object, {{...}}"
        )
    return content


def verify(folder: Path, part: str = "") -> str:
    """Compare a bundled folder's files with their sums, and return a fingerprint of all sums.

    `part` is a path in the folder; only what lies below it is compared, by default everything.
    Raises InputError for a file that is missing, damaged or not in the folder's sha256.json, and if
    that file is missing or damaged itself.
    """
    sums = _read_sums(folder)
    listed = {path for path in sums if path.startswith(part)}
    if not listed:
        raise _broken(folder / part, "has no sums")
    for path in sorted(listed):
        file = folder / path
        if not file.is_file():
            raise _broken(file, "is missing")
        if hashlib.sha256(file.read_bytes()).hexdigest() != sums[path]:
            raise _broken(file, "is damaged")
    for file in sorted((folder / part).rglob("*")):
        path = file.relative_to(folder).as_posix()
        if file.suffix in SUMMED and path not in listed | {SUMS}:
            raise _broken(file, f"is not listed in {SUMS}")
    return hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()


def _read_sums(folder: Path) -> dict[str, str]:
    """Read the sums by path. Paths lead down only."""
    file = folder / SUMS
    if not file.is_file():
        raise _broken(file, "is missing")
    try:
        sums = read_json(file)
    except InputError:
        raise _broken(file, "is damaged") from None
    for path, digest in sums.items():
        if not isinstance(digest, str) or Path(path).is_absolute() or ".." in Path(path).parts:
            raise _broken(file, "is damaged")
    return sums


def _broken(file: Path, fault: str) -> InputError:
    return InputError(f"the bundled model's file {file} {fault}; install creativelib again")

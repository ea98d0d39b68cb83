"""Writing files that others may read, or that a crash may cut off."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """A path to write to, which takes the file's place when all went well: who is cut off, or not alone, leaves no half file."""
    part = file.with_suffix(f".{os.getpid()}")
    yield part
    part.replace(file)


def cache_folder() -> Path:
    """Where training keeps data and checkpoints: $CREATIVELIB_CACHE or ~/.cache/creativelib."""
    return Path(os.environ.get("CREATIVELIB_CACHE", Path.home() / ".cache" / "creativelib"))


def make_writable(name: str, folder: Path) -> None:
    """Make the folder if needed. Raises InputError, naming the argument, where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{name} is {str(folder)!r}, which cannot be written ({error.strerror}); expected a folder that can"
        ) from None

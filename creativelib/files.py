"""Write files safely: as a whole or not at all, and into folders that can be written."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def atomic_write(file: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `file` on success.

    A crash or a concurrent writer never leaves a partial file: readers find the old file or the new
    one. The temporary file lies beside `file` and ends in the process's id. The folder is created
    if it does not exist.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    yield temporary
    temporary.replace(file)


def cache_folder() -> Path:
    """Return the folder for densities, training data and checkpoints.

    It is $CREATIVELIB_CACHE, or ~/.cache/creativelib if that is not set.
    """
    return Path(os.environ.get("CREATIVELIB_CACHE", Path.home() / ".cache" / "creativelib"))


def make_writable(name: str, folder: str | Path) -> None:
    """Create a folder if needed and check that files can be written into it.

    `name` is the argument that an error names. Raises InputError if nothing can be written.
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

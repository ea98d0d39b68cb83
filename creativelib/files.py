"""Writing files that others may read, or that a crash may cut off."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def aside(file: Path) -> Iterator[Path]:
    """A path to write to, which takes the file's place when all went well: who is cut off, or not alone, leaves no half file."""
    part = file.with_suffix(f".{os.getpid()}")
    yield part
    part.replace(file)

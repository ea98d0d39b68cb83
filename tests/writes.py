"""Watch the files that are written, and let one of them fail."""

import errno
import os
from pathlib import Path

import pytest

FULL = OSError(errno.ENOSPC, "No space left on device")


def note_writes(
    patch: pytest.MonkeyPatch, fail_at: Path | None = None, error: BaseException = FULL
) -> list[Path]:
    """Return a list that grows by each file written; `fail_at` fails."""
    written = []
    whole = os.replace

    def replace(source, target):
        written.append(Path(target))
        if Path(target) == fail_at:
            raise error
        whole(source, target)

    patch.setattr("creativelib.files.os.replace", replace)
    return written


def error_of(i: int) -> BaseException:
    """Return a full disk's error for even numbers, Ctrl-C's for odd ones."""
    return KeyboardInterrupt() if i % 2 else FULL

"""The error for bad input. A command shows its message without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input. The message names the argument, its value and the allowed values."""


def at_least(name: str, value: float, least: float) -> None:
    """Raise InputError if the argument called `name` has a value below `least`."""
    if value < least:
        raise InputError(f"{name} is {value}; expected {least} or more")


@contextmanager
def end_in_one_line() -> Iterator[None]:
    """End the process in one line on stderr if the user, the disk or the input stops its work.

    The exit code is 2 for bad input and for a file that cannot be read or written, such as on a
    full disk, and 130 for Ctrl-C.
    """
    try:
        yield
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)

"""The error for bad input, and the checks of numbers, lists and names that all doors share.

A command shows the error's message without a traceback. The checks of numbers refuse what only
looks like a number: True, "4", NaN and infinity. They return Python's own numbers for numpy's,
which JSON could not hold.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

# Largest count by default: no result needs more of anything, and no memory holds it.
MOST = 1_000_000
# Characters of a value that a message shows.
SHOWN = 80
LARGEST = sys.float_info.max
REAL = (int, float)


class InputError(ValueError):
    """Bad input. The message names the argument, its value and the allowed values."""


def shown(value: object) -> str:
    """Write a value as a message shows it: in one line, and cut if it is long.

    >>> shown("pet"), shown("a " * 99), shown(10**9999)
    ("'pet'", "'a a a a a a a a a a a a a a a a a a a a...", 'a huge int')
    """
    try:
        text = repr(value[:SHOWN] if isinstance(value, str) else value)
    except ValueError:  # Python writes no whole number of thousands of digits
        return f"a huge {type(value).__name__}"
    text = " ".join(text.splitlines())
    cut = len(text) > SHOWN or (isinstance(value, str) and len(value) > SHOWN)
    return f"{text[: SHOWN // 2]}..." if cut else text


def finite(name: str, value: object) -> Any:
    """Return a finite number. Raises InputError, as all checks do, that names the argument."""
    return _number(name, value, REAL, "a finite number")


def at_least(name: str, value: object, least: float) -> Any:
    """Return a finite number of `least` or more, or raise InputError."""
    expected = f"{least} or more"
    number = _number(name, value, REAL, expected)
    if number < least:
        raise InputError(f"{name} is {number}; expected {expected}")
    return number


def above(name: str, value: object, bound: float) -> Any:
    """Return a finite number above a bound, or raise InputError."""
    expected = f"a number above {bound}"
    number = _number(name, value, REAL, expected)
    if number <= bound:
        raise InputError(f"{name} is {number}; expected {expected}")
    return number


def inside(name: str, value: object, low: float, high: float) -> Any:
    """Return a number strictly between two others, or raise InputError."""
    expected = f"a number between {low} and {high}"
    number = _number(name, value, REAL, expected)
    if not low < number < high:
        raise InputError(f"{name} is {number}; expected {expected}")
    return number


def within(name: str, value: object, low: float, high: float) -> Any:
    """Return a number from `low` to `high`, both included, or raise InputError."""
    expected = f"a number in [{low}, {high}]"
    number = _number(name, value, REAL, expected)
    if not low <= number <= high:
        raise InputError(f"{name} is {number}; expected {expected}")
    return number


def share(name: str, value: object) -> Any:
    """Return a share above 0 and at most 1, or raise InputError."""
    expected = "a share in (0, 1]"
    number = _number(name, value, REAL, expected)
    if not 0 < number <= 1:
        raise InputError(f"{name} is {number}; expected {expected}")
    return number


def whole(name: str, value: object, least: int, most: int = MOST) -> Any:
    """Return a whole number from `least` to `most`, or raise InputError."""
    number = _number(name, value, (int,), f"a whole number, {least} or more")
    if not least <= number <= most:
        expected = f"{least} or more" if number < least else f"at most {most}"
        raise InputError(f"{name} is {shown(number)}; expected {expected}")
    return number


def flag(name: str, value: object) -> bool:
    """Return True or False, or raise InputError: the text "no" would count as True."""
    if value not in (True, False):
        raise InputError(f"{name} is {shown(value)}; expected True or False")
    return bool(value)


def check_fields(
    config: object, check: Callable[..., Any], limits: Mapping[str, tuple[float, ...]]
) -> None:
    """Check fields of a frozen configuration, each within its own limits, when it is made."""
    for name, limit in limits.items():
        object.__setattr__(config, name, check(name, getattr(config, name), *limit))


def one_of(name: str, value: object, known: Iterable[str]) -> None:
    """Raise InputError unless a value is one of the known names. The message says the nearest."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise InputError(
            f"{name} is {shown(value)}; expected one of {', '.join(known)}{nearest(value, known)}"
        )


def nearest(value: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known names most like it, if any.

    >>> nearest("pett", ["pet", "plant", "fruit"])
    "; did you mean 'pet'?"
    """
    names = {name.casefold(): name for name in known}
    wanted = value[:SHOWN].casefold() if isinstance(value, str) else ""
    found = get_close_matches(wanted, names, n=3)
    return f"; did you mean {' or '.join(repr(names[each]) for each in found)}?" if found else ""


def listed(name: str, values: object, least: int = 1) -> tuple[Any, ...]:
    """Return a list's values, or raise InputError if they are too few or no list.

    A plain text is no list: its letters would be taken for the values.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {shown(values)}; expected a list")
    found = tuple(values)
    if len(found) < least:
        raise InputError(f"{name} is {shown(list(found))}; expected a list of at least {least}")
    return found


def _number(name: str, value: Any, kinds: tuple[type, ...], expected: str) -> Any:
    """Return a finite number of one of the kinds, as Python's own."""
    number = value.item() if getattr(value, "ndim", None) == 0 else value
    # NaN compares as False, and no float is as large as the largest whole numbers.
    if (
        isinstance(number, bool)
        or not isinstance(number, kinds)
        or not -LARGEST <= number <= LARGEST
    ):
        raise InputError(f"{name} is {shown(number)}; expected {expected}")
    return number

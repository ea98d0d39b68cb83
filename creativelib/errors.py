"""The error for bad input. A command shows its message without a traceback."""


class InputError(ValueError):
    """Bad input. The message names the argument, its value and the allowed values."""


def at_least(name: str, value: float, least: float) -> None:
    """Raise InputError if the argument called `name` has a value below `least`."""
    if value < least:
        raise InputError(f"{name} is {value}; expected {least} or more")

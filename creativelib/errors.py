"""The one error that means "what you gave is wrong", so that a command can show it without a traceback."""


class InputError(ValueError):
    """Bad input. The message names the argument, its value and what is allowed."""


def at_least(name: str, value: float, least: float) -> None:
    """Raise InputError if an argument is below the least allowed value."""
    if value < least:
        raise InputError(f"{name} is {value}; expected {least} or more")

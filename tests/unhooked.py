"""Configurations as readers make them, without the checks of types that tests add."""

import inspect
from dataclasses import fields
from typing import Any


def make(kind: type, /, **values: Any) -> Any:
    """Make a dataclass of any values: what its own checks let pass."""
    made = object.__new__(kind)
    inspect.unwrap(kind.__init__)(made, **values)
    return made


def change(config: Any, /, **values: Any) -> Any:
    """Make a dataclass like another but for some values."""
    own = {field.name: getattr(config, field.name) for field in fields(config)}
    return make(type(config), **own | values)

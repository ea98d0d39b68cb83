"""The Menagerie: a procedural world of small pictures whose factors, and so whose exact probabilities, are known."""

from functools import cache

from ..errors import InputError
from .categories import CATEGORIES
from .distribution import Given, Truth
from .plan import Category

__all__ = ["CATEGORIES", "Category", "Given", "Truth", "category", "truth"]


def category(name: str) -> Category:
    """A category by its name. Raises InputError for a name the world does not have."""
    for found in CATEGORIES:
        if found.name == name:
            return found
    raise InputError(
        f"category {name!r} is not in the Menagerie; expected {', '.join(c.name for c in CATEGORIES)}"
    )


@cache
def truth(name: str) -> Truth:
    """The exact distribution of a category's factors."""
    return Truth.of(category(name))

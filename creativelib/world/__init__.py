"""The Menagerie: a procedural world of small pictures with exactly known probabilities.

Every picture is drawn from discrete factors, and the distribution of the factors is known.
"""

from functools import cache

from ..errors import InputError, nearest, shown
from ..sharing import normal_tensors
from .categories import CATEGORIES
from .distribution import Given, Truth
from .plan import Category

__all__ = ["CATEGORIES", "Category", "Given", "Truth", "category", "truth"]


def category(name: str) -> Category:
    """Return the category called `name`.

    Raises InputError if the Menagerie has no such category.
    """
    for candidate in CATEGORIES:
        if candidate.name == name:
            return candidate
    expected = ", ".join(candidate.name for candidate in CATEGORIES)
    raise InputError(
        f"category {shown(name)} is not in the Menagerie; expected {expected}"
        f"{nearest(name, [candidate.name for candidate in CATEGORIES])}"
    )


@cache
@normal_tensors()
def truth(name: str) -> Truth:
    """Return the exact distribution of a category's factors.

    Raises InputError if the Menagerie has no such category.
    """
    return Truth.of(category(name))

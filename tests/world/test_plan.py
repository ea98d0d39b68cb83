"""A category refuses tables that are not probabilities."""

import pytest

from creativelib.world import CATEGORIES, category
from creativelib.world.factors import COLOR, COLORS, Factor
from creativelib.world.plan import Category

SIZE = Factor("size", {"big": "a big size", "small": "a small size"})


def make(table):
    return Category(
        name="thing",
        factors=(SIZE, COLOR),
        species={"ball": {"color": "red"} | table},
        draw=lambda canvas: None,
    )


@pytest.mark.parametrize("table", [{"size": "big"}, {"size": {"big": 0.25, "small": 0.75}}])
def test_valid_tables_are_accepted(table):
    assert make(table).factor("size") is SIZE


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"size": {}},
        {"size": "huge"},
        {"size": {"big": 0.5}},
        {"size": {"big": 0.5, "huge": 0.5}},
    ],
)
def test_invalid_tables_are_refused(table):
    with pytest.raises(
        ValueError, match=r"thing species 'ball': factor 'size'.*\['big', 'small'\]"
    ):
        make(table)


def test_categories_are_found_by_name():
    assert [category(c.name) for c in CATEGORIES] == list(CATEGORIES)
    with pytest.raises(ValueError, match=r"'dragon'.*pet.*musical instrument"):
        category("dragon")


def test_colors_are_in_range():
    assert all(0 <= channel <= 1 for rgb in COLORS.values() for channel in rgb)

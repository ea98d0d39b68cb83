"""Contact sheets show what their words say."""

import pytest
import torch

from creativelib.world import category, sheet, styles


def test_species_sheet():
    got = sheet.species("handbag", each=2, size=32)
    names = list(category("handbag").species)
    assert got.pictures.shape == (2 * len(names), 3, 32, 32)
    assert [title for title in got.titles if title] == names
    assert got.titles[:3] == [names[0], "", names[1]]
    assert got.columns % 2 == 0
    assert all(name in got.alt for name in ("handbag", *names))


def test_wild_sheet():
    got = sheet.wild("pet", count=10, size=32)
    assert got.pictures.shape == (10, 3, 32, 32)
    assert not any(got.titles)
    assert all(word in got.alt for word in ("10", "wild", "pet", "ears"))


def test_style_sheet_repeats_the_members():
    got = sheet.in_styles("fruit", each=3, size=32)
    assert got.pictures.shape == (18, 3, 32, 32)
    assert got.titles[::3] == list(styles.NAMES)
    assert got.columns == 3
    assert all(name in got.alt for name in styles.NAMES)
    assert (got.pictures[:3] - got.pictures[3:6]).abs().mean() > 0.02


@pytest.mark.parametrize("make", [sheet.species, sheet.wild, sheet.in_styles])
def test_seeds_reproduce(make):
    assert torch.equal(make("plant", 2, seed=1, size=16).pictures, make("plant", 2, seed=1, size=16).pictures)
    assert not torch.equal(make("plant", 2, seed=1, size=16).pictures, make("plant", 2, seed=2, size=16).pictures)


def test_unknown_categories_are_refused():
    with pytest.raises(ValueError, match="'dragon'"):
        sheet.species("dragon")

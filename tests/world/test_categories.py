"""Promises of every category: distinct species, plain words, and drawings that show every value."""

import itertools
import math

import pytest
import torch

from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.factors import COLOR
from creativelib.world.rendering import POSE, render, sample_pose, screen

EACH_CATEGORY = pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.name)
NAMED = torch.tensor([styles.index(name) for name in styles.NAMES])


def table(kind, species, factor):
    entry = kind.species[species][factor.name]
    return {entry} if isinstance(entry, str) else set(entry)


def test_the_eight_categories():
    minimum = {
        "pet": 8,
        "plant": 8,
        "fruit": 8,
        "furniture": 8,
        "musical instrument": 8,
        "vehicle": 5,
        "building": 5,
        "handbag": 5,
    }
    assert {c.name for c in CATEGORIES} == set(minimum)
    assert all(len(c.species) >= minimum[c.name] for c in CATEGORIES)


@EACH_CATEGORY
def test_factors(kind):
    assert 5 <= len(kind.factors) <= 8
    assert kind.factors[-1] is COLOR
    assert [f.name for f in kind.factors if not f.structural] == ["pattern", "color"]
    assert len({f.name for f in kind.factors}) == len(kind.factors)
    assert math.prod(len(f.values) for f in kind.factors) <= 400_000


@EACH_CATEGORY
def test_words_are_plain(kind):
    keys = [f.name for f in kind.factors] + [value for f in kind.factors for value in f.values]
    assert all(word.isalpha() and word.islower() for word in keys)
    phrases = [phrase for f in kind.factors for phrase in f.values.values()]
    assert len(set(phrases)) == len(phrases)
    assert all(phrase.replace(" ", "").isalpha() and phrase.islower() for phrase in phrases)
    # Captions join phrases with these words.
    assert not any(word in phrase.split() for phrase in phrases for word in ("and", "with"))
    assert all(
        " " not in phrase for f in kind.factors if not f.structural for phrase in f.values.values()
    )


def test_names_of_species_are_single_words_and_unique():
    names = [name for c in CATEGORIES for name in c.species]
    assert len(set(names)) == len(names)
    assert all(name.isalpha() and name.islower() for name in names)
    taken = {word for c in CATEGORIES for word in c.name.split()}
    taken |= {word for c in CATEGORIES for f in c.factors[-2:] for word in f.values.values()}
    assert not taken & set(names)


@EACH_CATEGORY
def test_any_two_species_differ_in_two_structural_factors(kind):
    structural = [f for f in kind.factors if f.structural]
    for a, b in itertools.combinations(kind.species, 2):
        apart = [f.name for f in structural if not table(kind, a, f) & table(kind, b, f)]
        assert len(apart) >= 2, f"{a} and {b} differ in {apart} only"


@EACH_CATEGORY
def test_every_structural_value_belongs_to_a_species(kind):
    for factor in kind.factors:
        used = set().union(*(table(kind, name, factor) for name in kind.species))
        assert not factor.structural or used == set(factor.values)


@EACH_CATEGORY
def test_most_combinations_belong_to_no_species(kind):
    mixture = truth(kind.name)
    factors, _ = mixture.sample(4000, torch.Generator().manual_seed(0), wild=1.0)
    structural = torch.tensor([f.structural for f in kind.factors])
    assert (mixture.outside(factors) & structural).any(2).all(1).double().mean() > 0.98


@EACH_CATEGORY
def test_every_value_shows_in_every_style(kind):
    """Compare any two values of a factor, all else equal, in each named style.

    They must differ by more than 0.06 in at least 6 pixels, except on 1 % of the members, because a
    big part may hide a small one. The oracle measures the rest.
    """
    generator = torch.Generator().manual_seed(1)
    members, _ = truth(kind.name).sample(2, generator, wild=1.0)
    poses = sample_pose(2, generator)
    hidden = 0
    pairs = 0
    for j, factor in enumerate(kind.factors):
        count = len(factor.values)
        shown = NAMED if factor is not COLOR else NAMED[styles.color_visible(NAMED)]
        rows = members[:, None, None].repeat(1, len(shown), count, 1)
        rows[..., j] = torch.arange(count)
        style = shown[None, :, None].expand(2, -1, count, -1)
        pose = poses[:, None, None].expand(-1, len(shown), count, -1)
        pictures = render(
            kind, factors=rows.flatten(0, 2), style=style.flatten(0, 2), pose=pose.flatten(0, 2)
        ).view(-1, count, 3, 64, 64)
        for a, b in itertools.combinations(range(count), 2):
            differs = (pictures[:, a] - pictures[:, b]).abs().amax(1) > 0.06
            pixels = differs.flatten(1).sum(1)
            hidden = hidden + int((pixels < 6).sum())
            pairs = pairs + len(pixels)
    assert hidden <= 0.01 * pairs


@EACH_CATEGORY
def test_nothing_important_lies_outside_the_picture(kind):
    """Draw members at half size, then place them as large and as far to a corner as poses go.

    At most a tenth of any member may be cut off.
    """
    generator = torch.Generator().manual_seed(2)
    factors, _ = truth(kind.name).sample(64, generator, wild=1.0)
    factors[:, -1] = 0
    style = torch.tensor(styles.index("watercolor painting")).expand(64, -1)
    pose = torch.tensor([0, 0, 0.5, 0, 1, 1, 0.8, 0.8, 0.8]).expand(64, -1)
    ground = styles.ground(style, pose[:, 6:], screen(64)).picture
    subject = ((render(kind, factors, style, pose=pose) - ground).abs().amax(1) > 0.08).float()
    p = screen(64) / 0.5 * torch.tensor([POSE["width"][1], 1.0]) * POSE["size"][1]
    worst = torch.zeros(64)
    for x, y, tilt in itertools.product(POSE["x"], POSE["y"], POSE["tilt"]):
        c = math.cos(math.radians(tilt))
        s = math.sin(math.radians(tilt))
        horizontal = c * p[..., 0] - s * p[..., 1] + x
        vertical = s * p[..., 0] + c * p[..., 1] + y
        inside = torch.stack([horizontal, vertical], -1).abs().amax(-1) <= 1
        worst = torch.maximum(worst, 1 - (subject * inside).sum((1, 2)) / subject.sum((1, 2)))
    assert worst.max() < 0.10
    assert worst.median() < 0.03

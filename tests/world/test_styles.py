"""Styles leave no trace of a hidden color, look distinct if named, and stay in [0, 1]."""

import itertools

import pytest
import torch

from creativelib.world import CATEGORIES, category, styles, truth
from creativelib.world.factors import COLORS
from creativelib.world.rendering import render, sample_pose, screen

EVERY = torch.tensor(list(itertools.product(*(range(len(v)) for v in styles.FACTORS.values()))))
NAMED = torch.tensor([styles.index(name) for name in styles.NAMES])


def in_color(factors, color):
    return torch.cat(
        [factors[:, :-1], torch.full_like(factors[:, -1:], list(COLORS).index(color))], 1
    )


def two_colors(kind, style, colors, seed=0):
    """Draw the same members, poses and styles in two colors."""
    generator = torch.Generator().manual_seed(seed)
    factors, _ = truth(kind.name).sample(len(style), generator, wild=1.0)
    pose = sample_pose(len(style), generator)
    return [render(kind, in_color(factors, color), style, pose=pose) for color in colors]


@pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.name)
def test_a_hidden_color_leaves_no_trace(kind):
    hidden = EVERY[~styles.color_visible(EVERY)][::7]
    red, blue = two_colors(kind, hidden, ("red", "blue"))
    assert torch.equal(red, blue)


def test_a_hidden_yellow_leaves_no_trace_on_plants():
    hidden = EVERY[~styles.color_visible(EVERY)][::7]
    red, yellow = two_colors(category("plant"), hidden, ("red", "yellow"))
    assert torch.equal(red, yellow)


@pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.name)
def test_a_visible_color_shows(kind):
    shown = EVERY[styles.color_visible(EVERY)][::13]
    red, blue = two_colors(kind, shown, ("red", "blue"))
    assert ((red - blue).abs().amax(1) > 0.1).flatten(1).sum(1).min() >= 20


def test_named_styles_are_points_of_the_space():
    for name, point in styles.NAMES.items():
        assert all(
            value in values for value, values in zip(point, styles.FACTORS.values(), strict=True)
        )
        assert [
            values[i] for i, values in zip(styles.index(name), styles.FACTORS.values(), strict=True)
        ] == list(point)
    assert len(set(styles.NAMES.values())) == len(styles.NAMES) == 6
    visible = dict(zip(styles.NAMES, styles.color_visible(NAMED).tolist(), strict=True))
    assert [name for name, shows in visible.items() if not shows] == ["pencil sketch", "blueprint"]


@pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.name)
def test_named_styles_look_distinct(kind):
    # In red, because a watercolor painting of a gray thing looks almost like a pencil sketch of it.
    factors = in_color(truth(kind.name).sample(1, torch.Generator().manual_seed(0))[0], "red")
    pose = sample_pose(1, torch.Generator().manual_seed(0))
    pictures = render(kind, in_color(factors, "red").expand(6, -1), NAMED, pose=pose.expand(6, -1))
    # The subject is a small part of some pictures, so count the pixels that plainly differ.
    differs = (pictures[:, None] - pictures).abs().amax(2) > 0.1
    assert differs.float().mean((2, 3))[~torch.eye(6, dtype=torch.bool)].min() > 0.05


def test_compose_stays_in_range_for_any_layers():
    generator = torch.Generator().manual_seed(0)
    layers = torch.rand(len(EVERY), 6, 16, 16, generator=generator).round(decimals=1)
    behind = styles.ground(EVERY, torch.rand(len(EVERY), 3, generator=generator), screen(16))
    pictures = styles.compose(layers, EVERY, behind)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert behind.picture.min() >= 0
    assert behind.picture.max() <= 1


def test_nothing_painted_leaves_the_ground():
    behind = styles.ground(EVERY, torch.full((len(EVERY), 3), 0.8), screen(16))
    assert torch.equal(
        styles.compose(torch.zeros(len(EVERY), 6, 16, 16), EVERY, behind), behind.picture
    )

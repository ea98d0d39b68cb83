"""Random scenes: shares, seeds, and pictures of mixed categories."""

import pytest
import torch
from scipy.stats import chisquare

from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.distribution import WILD
from creativelib.world.rendering import render
from creativelib.world.scenes import (
    MAX_FACTORS,
    PHOTO,
    UNNAMED_STYLES,
    draw,
    sample_scenes,
    sample_styles,
    style_names,
)

N = 12_000


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(N, torch.Generator().manual_seed(0))


def test_categories_are_equally_likely(scenes):
    assert chisquare(scenes.category.bincount(minlength=8)).pvalue > 1e-3


def test_species_are_equally_likely_and_three_percent_are_wild(scenes):
    assert (scenes.species < 0).double().mean() == pytest.approx(WILD, abs=0.006)
    for i, kind in enumerate(CATEGORIES):
        named = scenes.species[(scenes.category == i) & (scenes.species >= 0)]
        assert chisquare(named.bincount(minlength=len(kind.species))).pvalue > 1e-3
    assert (
        sample_scenes(N, torch.Generator().manual_seed(0), wild=0.3).species < 0
    ).double().mean() == pytest.approx(0.3, abs=0.015)


def test_styles_have_their_shares(scenes):
    names = style_names(scenes.style)
    unnamed = UNNAMED_STYLES * (1 - len(styles.NAMES) / 360)
    assert names.count(None) / N == pytest.approx(unnamed, abs=0.01)
    assert names.count("photo") / N == pytest.approx(
        (1 - UNNAMED_STYLES) * PHOTO + UNNAMED_STYLES / 360, abs=0.015
    )
    others = [names.count(name) for name in list(styles.NAMES)[1:]]
    assert chisquare(others).pvalue > 1e-3
    anywhere = sample_styles(N, torch.Generator().manual_seed(1))
    assert [int(v) + 1 for v in anywhere.amax(0)] == [len(v) for v in styles.FACTORS.values()]


def test_factors_are_of_the_category(scenes):
    for i, kind in enumerate(CATEGORIES):
        factors = scenes.factors[scenes.category == i]
        counts = [len(f.values) for f in kind.factors]
        counts += [0] * (MAX_FACTORS - len(kind.factors))
        assert [int(v) + 1 for v in factors.amax(0)] == counts
        assert bool((factors[:, : len(kind.factors)] >= 0).all())
        species = scenes.species[scenes.category == i]
        posterior = truth(kind.name).posterior(factors[:, : len(kind.factors)])
        assert posterior[species >= 0].gather(1, species[species >= 0, None]).mean() > 0.95


def test_one_category_can_be_asked_for():
    scenes = sample_scenes(20, torch.Generator().manual_seed(0), category="fruit")
    assert scenes.category.unique().tolist() == [2]
    with pytest.raises(ValueError, match="dragon"):
        sample_scenes(1, category="dragon")


def test_seeds_reproduce():
    one = sample_scenes(30, torch.Generator().manual_seed(7))
    same = sample_scenes(30, torch.Generator().manual_seed(7))
    other = sample_scenes(30, torch.Generator().manual_seed(8))
    for name in ("category", "factors", "species", "style", "pose"):
        assert torch.equal(getattr(one, name), getattr(same, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_drawing_a_mixture_is_drawing_each():
    scenes = sample_scenes(40, torch.Generator().manual_seed(1), wild=0.5)
    pictures = draw(scenes)
    assert len(scenes) == 40
    assert pictures.shape == (40, 3, 64, 64)
    assert torch.allclose(draw(scenes[10:20]), pictures[10:20], atol=1e-4)
    i = int((scenes.category == 3).nonzero()[0])
    row = scenes[torch.tensor([i])]
    kind = CATEGORIES[3]
    picture = render(
        kind, factors=row.factors[:, : len(kind.factors)], style=row.style, pose=row.pose
    )[0]
    assert torch.allclose(picture, pictures[i], atol=1e-4)
    assert draw(scenes[:2], size=32).shape == (2, 3, 32, 32)

"""Pages share what they say they share, and only that."""

import itertools

import pytest
import torch
from scipy.stats import chisquare

from creativelib.world import CATEGORIES, category, styles, truth
from creativelib.world.pages import pages
from creativelib.world.scenes import draw


@pytest.fixture(scope="module")
def some():
    return list(itertools.islice(pages(6, torch.Generator().manual_seed(0)), 600))


def test_what_is_shared_is_shared(some):
    for page in some:
        kind = category(page.shared.category)
        assert all(CATEGORIES[c] is kind for c in page.scenes.category.tolist())
        for name, value in page.shared.values.items():
            j = [f.name for f in kind.factors].index(name)
            assert page.scenes.factors[:, j].tolist() == [list(kind.factors[j].values).index(value)] * 6
        assert not page.same_style or len(page.scenes.style.unique(dim=0)) == 1
        assert page.shared.style is None or page.scenes.style[0].tolist() == styles.index(page.shared.style)
        assert bool(truth(kind.name).log_prob(page.scenes.factors[:, : len(kind.factors)], page.shared).isfinite().all())


def test_the_rest_is_free(some):
    pets = [page for page in some if page.shared.category == "pet"]
    loose = [page.scenes.factors[:, 0].unique().numel() for page in pets if "body" not in page.shared.values]
    assert sum(n > 1 for n in loose) > 0.3 * len(loose)
    assert sum(len(page.scenes.style.unique(dim=0)) > 1 for page in some if not page.same_style) > 250
    assert all(len(page.scenes.pose.unique(dim=0)) == 6 for page in some)


def test_how_much_is_shared(some):
    assert sum(page.same_style for page in some) / len(some) == pytest.approx(0.5, abs=0.07)
    counts = torch.tensor([len(page.shared.values) for page in some if len(category(page.shared.category).factors) == 8])
    assert chisquare(counts.bincount(minlength=9)[1:]).pvalue > 1e-3


def test_one_picture_of_each_page_follows_the_truth():
    known = truth("pet")
    firsts = torch.stack([page.scenes.factors[0] for page in itertools.islice(
        (page for page in pages(1, torch.Generator().manual_seed(3)) if page.shared.category == "pet"), 250)])
    for j, factor in enumerate(known.category.factors):
        marginal = (known.log_weights.exp()[:, None] * known.log_tables[:, j, : len(factor.values)].exp()).sum(0)
        assert chisquare(firsts[:, j].bincount(minlength=len(factor.values)), (250 * marginal).tolist()).pvalue > 1e-3


def test_seeds_reproduce_and_pages_can_be_drawn():
    one, same = (next(pages(4, torch.Generator().manual_seed(5), wild=1.0)) for _ in range(2))
    assert torch.equal(one.scenes.factors, same.scenes.factors)
    assert one.shared == same.shared
    assert one.scenes.species.tolist() == [-1] * 4
    assert draw(one.scenes).shape == (4, 3, 64, 64)

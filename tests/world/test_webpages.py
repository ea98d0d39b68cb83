"""Pages share the facts that they claim to share, and only these."""

import itertools

import pytest
import torch
from scipy.stats import chisquare

from creativelib.world import CATEGORIES, category, styles, truth
from creativelib.world.scenes import draw, sample_styles
from creativelib.world.webpages import continued, pages, shared_by, style_log_prob


@pytest.fixture(scope="module")
def some():
    return list(itertools.islice(pages(6, torch.Generator().manual_seed(0)), 600))


def test_shared_facts_hold_in_every_picture(some):
    for page in some:
        kind = category(page.shared.category)
        assert all(CATEGORIES[c] is kind for c in page.scenes.category.tolist())
        for name, value in page.shared.values.items():
            j = [f.name for f in kind.factors].index(name)
            assert (
                page.scenes.factors[:, j].tolist()
                == [list(kind.factors[j].values).index(value)] * 6
            )
        assert not page.same_style or len(page.scenes.style.unique(dim=0)) == 1
        assert page.shared.style is None or page.scenes.style[0].tolist() == styles.index(
            page.shared.style
        )
        assert bool(
            truth(kind.name)
            .log_prob(page.scenes.factors[:, : len(kind.factors)], page.shared)
            .isfinite()
            .all()
        )


def test_other_facts_vary(some):
    pets = [page for page in some if page.shared.category == "pet"]
    loose = [
        page.scenes.factors[:, 0].unique().numel()
        for page in pets
        if "body" not in page.shared.values
    ]
    assert sum(n > 1 for n in loose) > 0.3 * len(loose)
    assert (
        sum(len(page.scenes.style.unique(dim=0)) > 1 for page in some if not page.same_style) > 250
    )
    assert all(len(page.scenes.pose.unique(dim=0)) == 6 for page in some)


def test_how_much_is_shared(some):
    assert sum(page.same_style for page in some) / len(some) == pytest.approx(0.5, abs=0.07)
    counts = torch.tensor(
        [
            len(page.shared.values)
            for page in some
            if len(category(page.shared.category).factors) == 8
        ]
    )
    assert chisquare(counts.bincount(minlength=9)[1:]).pvalue > 1e-3


def test_one_picture_of_each_page_follows_the_truth():
    mixture = truth("pet")
    pets = (
        page for page in pages(1, torch.Generator().manual_seed(3)) if page.shared.category == "pet"
    )
    firsts = torch.stack([page.scenes.factors[0] for page in itertools.islice(pets, 250)])
    weights = mixture.log_weights.exp()[:, None]
    for j, factor in enumerate(mixture.category.factors):
        marginal = (weights * mixture.log_tables[:, j, : len(factor.values)].exp()).sum(0)
        counts = firsts[:, j].bincount(minlength=len(factor.values))
        assert chisquare(counts, (250 * marginal).tolist()).pvalue > 1e-3


def test_seeds_reproduce_and_pages_can_be_drawn():
    one = next(pages(4, torch.Generator().manual_seed(5), wild=1.0))
    same = next(pages(4, torch.Generator().manual_seed(5), wild=1.0))
    assert torch.equal(one.scenes.factors, same.scenes.factors)
    assert one.shared == same.shared
    assert one.scenes.species.tolist() == [-1] * 4
    assert draw(one.scenes).shape == (4, 3, 64, 64)


def first(page, k):
    return page.scenes[slice(0, k)]


def shares_of(page, k):
    """Pair the posterior that the page shares a factor with whether it does, for each factor."""
    kind = category(page.shared.category)
    sets, style = shared_by(first(page, k))
    bits = torch.arange(len(sets))[:, None] >> torch.arange(len(kind.factors)) & 1
    posteriors = [*(sets[:, None] * bits).sum(0).tolist(), style.item()]
    shared = [*(f.name in page.shared.values for f in kind.factors), page.same_style]
    return list(zip(posteriors, shared, strict=True))


def test_one_picture_does_not_reveal_the_shared_facts(some):
    for page in some[:20]:
        sets, style = shared_by(first(page, 1))
        count = len(category(page.shared.category).factors)
        assert style == pytest.approx(0.5)
        assert sets[0] == 0
        by_size = sets.new_zeros(count + 1).index_add(
            0, torch.tensor([bin(i).count("1") for i in range(len(sets))]), sets
        )
        assert by_size[1:].tolist() == pytest.approx([1 / count] * count)


@pytest.mark.parametrize("k", [2, 4])
def test_posteriors_of_shared_facts_are_calibrated(some, k):
    posterior, shared = torch.tensor([pair for page in some for pair in shares_of(page, k)]).T
    assert (shared[posterior == 0] == 0).all()
    for low in (0.01, 0.2, 0.4, 0.6, 0.8):
        rows = (posterior > low) & (posterior <= low + 0.2)
        if rows.sum() > 60:
            assert shared[rows].mean().item() == pytest.approx(
                posterior[rows].mean().item(), abs=3.5 * (0.25 / rows.sum().item()) ** 0.5
            )


def test_more_pictures_leave_less_doubt(some):
    doubt = [
        sum(p * (1 - p) for page in some[:150] for p, _ in shares_of(page, k)) for k in (1, 2, 4, 6)
    ]
    assert doubt == sorted(doubt, reverse=True) and doubt[-1] < 0.5 * doubt[0]


def test_a_continued_page_keeps_its_shared_facts(some):
    for page in some[:40]:
        more = continued(first(page, 6), 20, torch.Generator().manual_seed(1))
        kind = category(page.shared.category)
        kept = [
            (more.factors[:, j] == page.scenes.factors[0, j]).float().mean()
            for j, f in enumerate(kind.factors)
            if f.name in page.shared.values
        ]
        assert sum(kept) / len(kept) > 0.85
        assert len(more) == 20
        assert (more.factors[:, len(kind.factors) :] == -1).all()


def test_styles_are_as_likely_as_they_are_drawn():
    drawn = sample_styles(20_000, torch.Generator().manual_seed(2))
    for name in styles.NAMES:
        style = torch.tensor([styles.index(name)])
        assert (drawn == style).all(1).float().mean().item() == pytest.approx(
            style_log_prob(style).exp().item(), abs=0.012
        )
    everything = torch.cartesian_prod(
        *(torch.arange(len(values)) for values in styles.FACTORS.values())
    )
    assert style_log_prob(everything).exp().sum() == pytest.approx(1)

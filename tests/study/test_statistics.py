"""Intervals against scipy's, Holm against closed testing, Wilcoxon against all signs."""

import re
from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, rankdata

from creativelib.errors import InputError
from creativelib.study.statistics import (
    compare_methods,
    holm,
    method_means,
    percentile_ends,
    resample,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_intervals_are_scipys():
    scores = normal(30, 2)
    found = method_means(scores, generator=seeded(0), draws=20_000)
    wanted = bootstrap(
        (scores.numpy(),),
        lambda x, axis: x.mean(axis),
        method="percentile",
        n_resamples=20_000,
        vectorized=True,
        axis=0,
        rng=0,
    ).confidence_interval
    assert torch.equal(found.value, scores.mean(0))
    assert found.low.tolist() == pytest.approx(wanted.low.tolist(), abs=0.02)
    assert found.high.tolist() == pytest.approx(wanted.high.tolist(), abs=0.02)


@pytest.mark.parametrize("people, least, most", [(10, 0.87, 0.93), (40, 0.925, 0.96)])
def test_intervals_hold_the_truth_as_often_as_the_docstring_says(people, least, most):
    """600 studies at once, as 600 methods of participants who are independent."""
    found = method_means(normal(people, 600), generator=seeded(1), draws=400)
    assert least < ((found.low <= 0) & (found.high >= 0)).double().mean() < most


def test_participants_are_resampled_and_not_votes():
    """The width of an interval follows from the spread of participants, not of their votes."""
    people = normal(25, 1)
    found = method_means(people, generator=seeded(0))
    assert (found.high - found.low).item() == pytest.approx(
        2 * 1.96 * people.std(correction=0).item() / 5, rel=0.1
    )


def test_a_missing_score_is_left_out():
    scores = torch.tensor([[1.0, torch.nan], [2.0, 4.0], [3.0, 4.0]], dtype=torch.float64)
    found = method_means(scores, generator=seeded(0))
    assert found.value.tolist() == [2, 4] and (found.low[1], found.high[1]) == (4, 4)


def test_samples_are_of_all_participants_alike():
    counts = resample(5, seeded(0), 4000).flatten().bincount(minlength=5)
    assert (counts / counts.sum()).tolist() == pytest.approx([0.2] * 5, abs=0.01)
    assert torch.equal(resample(5, seeded(3)), resample(5, seeded(3)))


def test_a_wider_level_gives_a_wider_interval():
    scores = normal(20, 3)
    narrow, wide = (method_means(scores, generator=seeded(0), level=level) for level in (0.5, 0.99))
    assert (wide.low < narrow.low).all()
    assert (narrow.low < narrow.value).all()
    assert (narrow.high < wide.high).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p):
    """Compare with the definition: the largest Bonferroni value of the sets with the hypothesis."""
    sets = [own for size in range(1, len(p) + 1) for own in combinations(range(len(p)), size)]
    wanted = [
        max(min(1, len(own) * min(p[i] for i in own)) for own in sets if k in own)
        for k in range(len(p))
    ]
    assert holm(torch.tensor(p, dtype=torch.float64)).tolist() == pytest.approx(wanted)


def test_holm_by_hand():
    assert holm(torch.tensor([0.01, 0.04, 0.03], dtype=torch.float64)).tolist() == pytest.approx(
        [0.03, 0.06, 0.06]
    )
    assert holm(torch.zeros(0)).tolist() == []


def test_wilcoxon_is_that_of_all_signs():
    """Compare p with the share of all choices of signs that are as extreme, without ties.

    The statistic is the sum of positive ranks; extreme is far from the middle.
    """
    scores = normal(9, 2) + torch.tensor([0.6, 0.0])
    difference = (scores[:, 0] - scores[:, 1]).tolist()
    ranks = rankdata([abs(x) for x in difference])
    middle = ranks.sum() / 2
    own = abs(sum(r for r, x in zip(ranks, difference, strict=True) if x > 0) - middle)
    all_signs = [
        abs(sum(r for r, sign in zip(ranks, signs, strict=True) if sign) - middle) >= own
        for signs in product((0, 1), repeat=9)
    ]
    row = compare_methods(scores, ["a", "b"]).iloc[0]
    assert row["p"] == row["p_holm"] == pytest.approx(sum(all_signs) / 2**9)
    assert row["difference"] == pytest.approx(sum(difference) / 9) and row["participants"] == 9


def test_all_pairs_are_compared_and_corrected():
    scores = normal(30, 3) + torch.tensor([2.0, 0.0, 0.0])
    scores[0, 1] = torch.nan
    table = compare_methods(scores, ["a", "b", "c"])
    assert table[["first", "second", "participants"]].to_numpy().tolist() == [
        ["a", "b", 29],
        ["a", "c", 30],
        ["b", "c", 29],
    ]
    assert table["p_holm"].tolist() == pytest.approx(
        holm(torch.tensor(table["p"].to_numpy())).tolist()
    )
    p = table["p_holm"].tolist()
    difference = table["difference"].tolist()
    assert max(p[:2]) < 0.001 and p[2] > 0.05 and min(difference[:2]) > 1


def test_a_larger_difference_is_surer():
    noise = normal(12, 2)
    noise = noise - noise.mean(0)
    p = [
        compare_methods(noise + torch.tensor([shift, 0.0]), ["a", "b"])["p"].item()
        for shift in (0.0, 0.8, 3.0)
    ]
    assert p[0] > p[1] > p[2]


def test_no_difference_at_all():
    assert compare_methods(torch.ones(5, 2), ["a", "b"])["p"].item() == 1


def test_wrong_input_is_named():
    scores = normal(5, 2)
    none = torch.tensor([[1.0, torch.nan], [2.0, torch.nan]])
    for call, message in (
        (
            lambda: method_means(scores[:1], generator=seeded(0)),
            "participants is 1; expected 2 or more",
        ),
        (lambda: method_means(scores, generator=seeded(0), draws=0), "draws is 0"),
        (
            lambda: method_means(scores, generator=seeded(0), level=1.0),
            "level is 1.0; expected a number between 0 and 1",
        ),
        (lambda: method_means(none, generator=seeded(0)), "scores of method number 1 are all NaN"),
        (lambda: percentile_ends(scores, scores[0], 0.0), "level is 0.0"),
        (lambda: holm(torch.tensor([0.5, 1.5])), "p is [0.5, 1.5]; expected numbers in [0, 1]"),
        (lambda: holm(torch.tensor([torch.nan])), "p is [nan]"),
        (lambda: compare_methods(scores, ["a"]), "methods is ['a'] for 2 columns of scores"),
        (lambda: compare_methods(scores[:, :1], ["a"]), "expected at least two"),
        (lambda: compare_methods(none, ["a", "b"]), "no participant who scored both 'a' and 'b'"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            call()

"""Bradley and Terry's strengths: logistic regression, closed forms, and simulated comparisons."""

import math
import re
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from creativelib.errors import InputError
from creativelib.study.preference import bradley_terry, bradley_terry_intervals

FEW = settings(max_examples=40, deadline=None)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(m: int, seed: int) -> torch.Tensor:
    """Draw wins of each method against each other, in steps of a half."""
    wins = torch.randint(2, 40, (m, m), generator=seeded(seed)).double() / 2
    return wins * (1 - torch.eye(m, dtype=torch.float64))


def play(strength: list[float], people: int, each: int, seed: int = 0) -> torch.Tensor:
    """Simulate the wins of participants who compare each two methods `each` times."""
    wins = torch.zeros(people, len(strength), len(strength), dtype=torch.float64)
    for i, j in combinations(range(len(strength)), 2):
        chance = torch.full((people, each), strength[i] / (strength[i] + strength[j]))
        wins[:, i, j] = torch.bernoulli(chance, generator=seeded(seed + 10 * i + j)).double().sum(1)
        wins[:, j, i] = each - wins[:, i, j]
    return wins


@FEW
@given(st.integers(2, 5), st.integers(0, 999))
def test_strengths_are_logistic_regressions(m, seed):
    """Compare with a logistic regression on the sides of the methods, without a penalty."""
    wins = counts(m, seed)
    rows = [
        (np.eye(m)[i] - np.eye(m)[j], won)
        for i in range(m)
        for j in range(m)
        if i != j
        for won in [wins[i, j].item()]
    ]
    x = np.array([row for row, _ in rows] + [-row for row, _ in rows])
    weights = np.array([won for _, won in rows] * 2)
    y = np.repeat([1, 0], len(rows))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
    logits = model.fit(x, y, weights).coef_[0]
    assert bradley_terry(wins).log().tolist() == pytest.approx(
        (logits - np.logaddexp.reduce(logits)).tolist(), abs=1e-4
    )


def test_two_methods_in_closed_form():
    wins = torch.tensor([[0.0, 7.5], [2.5, 0.0]])
    assert bradley_terry(wins).tolist() == pytest.approx([0.75, 0.25])
    assert bradley_terry(wins, ties=2).tolist() == pytest.approx([8.5 / 12, 3.5 / 12])


@FEW
@given(st.integers(2, 5), st.integers(0, 999))
def test_at_the_most_likely_strengths_expected_wins_are_the_observed_ones(m, seed):
    wins = counts(m, seed)
    w = bradley_terry(wins)
    expected = ((wins + wins.T) * w[:, None] / (w[:, None] + w)).fill_diagonal_(0).sum(1)
    assert expected.tolist() == pytest.approx(wins.sum(1).tolist(), rel=1e-6)
    assert w.sum().item() == pytest.approx(1)


def test_the_order_of_methods_does_not_matter():
    wins = counts(4, 1)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(bradley_terry(wins[order][:, order]), bradley_terry(wins)[order])


def test_known_strengths_are_recovered():
    strength = [0.5, 0.3, 0.2]
    assert bradley_terry(play(strength, 1000, 20).sum(0)).tolist() == pytest.approx(
        strength, abs=0.01
    )


def test_another_win_makes_stronger():
    wins = counts(4, 0)
    more = wins.clone()
    more[2, 0] += 1
    before = bradley_terry(wins)
    after = bradley_terry(more)
    assert after[2] > before[2] and after[0] < before[0]


def test_methods_that_were_never_compared_are_linked_by_a_third():
    """2 to 1 and 2 to 1 along a chain is 4 to 1 from end to end."""
    wins = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert bradley_terry(wins).tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize(
    "wins, split",
    [
        ([[0.0, 3.0], [0.0, 0.0]], "[[1], [0]]"),  # never lost
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "[[0, 1], [2]]"),  # never met
    ],
)
def test_strengths_that_do_not_exist(wins, split: str):
    with pytest.raises(InputError, match=re.escape(f"into groups {split}")):
        bradley_terry(torch.tensor(wins))
    assert math.isfinite(bradley_terry(torch.tensor(wins), ties=0.1).log().sum())


def test_ties_draw_strengths_together():
    wins = counts(3, 0)
    spread = [bradley_terry(wins, ties=ties).std().item() for ties in (0.0, 1.0, 10.0, 1e6)]
    assert spread[0] > spread[1] > spread[2] > spread[3] and spread[3] < 1e-4


def test_intervals_hold_the_true_strengths():
    """Intervals cover the truth in 95 of 100 studies, within the error of 40 studies of 3 methods.

    A sixteenth of the participants gives four times the width.
    """
    strength = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    held = [
        (found.low <= strength) & (strength <= found.high)
        for seed in range(40)
        for found in [
            bradley_terry_intervals(
                play(strength.tolist(), 40, 4, 1000 * seed), generator=seeded(seed), draws=200
            )
        ]
    ]
    assert 0.86 < torch.stack(held).double().mean() <= 1
    few, many = (
        bradley_terry_intervals(play(strength.tolist(), people, 4), generator=seeded(0), draws=500)
        for people in (20, 320)
    )
    assert ((few.high - few.low) / (many.high - many.low)).mean().item() == pytest.approx(
        4, rel=0.3
    )


def test_people_who_differ_widen_intervals():
    """As many wins in all, but each participant always prefers one and the same method."""
    mixed = torch.tensor([[[0.0, 5.0], [5.0, 0.0]]]).repeat(20, 1, 1)
    split = torch.cat(
        [torch.tensor([[[0.0, 10.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [10.0, 0.0]]])]
    ).repeat(10, 1, 1)
    same, apart = (bradley_terry_intervals(wins, generator=seeded(0)) for wins in (mixed, split))
    assert torch.allclose(same.value, apart.value)
    assert (same.high - same.low).max() < 1e-6
    assert (apart.high - apart.low).min() > 0.3


def test_intervals_of_a_method_that_never_lost():
    wins = torch.tensor([[[0.0, 5.0], [0.0, 0.0]]]).repeat(10, 1, 1)
    assert bradley_terry_intervals(wins, generator=seeded(0)).value.tolist() == pytest.approx(
        [50.5 / 51, 0.5 / 51]
    )


def test_wrong_input_is_named():
    wins = counts(2, 0)
    for call, message in (
        (lambda: bradley_terry(-wins), "wins holds -"),
        (lambda: bradley_terry(wins * torch.nan), "wins holds nan; expected numbers of 0 and more"),
        (lambda: bradley_terry(wins, ties=-1), "ties is -1; expected 0 or more"),
        (
            lambda: bradley_terry(wins[:1, :1]),
            "the number of methods in wins is 1; expected 2 or more",
        ),
        (
            lambda: bradley_terry_intervals(
                wins[None].repeat(3, 1, 1), generator=seeded(0), ties=0
            ),
            "ties is 0; expected a",
        ),
        (
            lambda: bradley_terry_intervals(wins[None], generator=seeded(0)),
            "participants is 1; expected 2 or more",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()

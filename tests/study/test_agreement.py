"""Krippendorff's alpha on his own example, by brute force, and in the right direction."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.study.agreement import LEVELS, krippendorff_alpha

NAN = float("nan")
# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability: 4 observers, 12 units.
EXAMPLE = torch.tensor(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def by_pairs(answers: torch.Tensor, level: str) -> float:
    """Compute alpha from the mean disagreement of two answers, in one unit and in all.

    Each unit is weighted by its number of answers.
    """
    units = [[x for x in unit if x == x] for unit in answers.T.tolist()]
    units = [unit for unit in units if len(unit) > 1]
    pooled = [x for unit in units for x in unit]

    def disagreement(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        low, high = sorted((a, b))
        between = sum(low <= x <= high for x in pooled)
        return (between - (pooled.count(a) + pooled.count(b)) / 2) ** 2

    def mean(values: list[float]) -> float:
        n = len(values)
        pairs = [(values[i], values[j]) for i in range(n) for j in range(n) if i != j]
        return sum(disagreement(a, b) for a, b in pairs) / (n * (n - 1))

    return 1 - sum(len(unit) * mean(unit) for unit in units) / len(pooled) / mean(pooled)


@pytest.mark.parametrize(
    "level, alpha", [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_the_published_example(level, alpha: float):
    assert krippendorff_alpha(EXAMPLE, level) == pytest.approx(alpha, abs=5e-4)


@settings(deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.sampled_from(LEVELS), st.integers(0, 9999))
def test_by_brute_force(raters, units, level, seed):
    generator = torch.Generator().manual_seed(seed)
    answers = torch.randint(1, 6, (raters, units), generator=generator).double()
    answers[torch.rand(raters, units, generator=generator) < 0.3] = NAN
    paired = answers[:, (~answers.isnan()).sum(0) > 1]
    assume(len(paired[~paired.isnan()].unique()) > 1)
    assert krippendorff_alpha(answers, level) == pytest.approx(by_pairs(answers, level), abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
def test_agreement_is_one_and_chance_is_zero(level):
    units = torch.randint(1, 6, (1, 2000), generator=torch.Generator().manual_seed(0)).double()
    assert krippendorff_alpha(units.repeat(4, 1), level) == pytest.approx(1)
    chance = torch.randint(1, 6, (4, 2000), generator=torch.Generator().manual_seed(1)).double()
    assert krippendorff_alpha(chance, level) == pytest.approx(0, abs=0.03)


def test_opposite_answers_are_worse_than_chance():
    answers = torch.tensor([[1.0, 5.0] * 10, [5.0, 1.0] * 10])
    assert all(krippendorff_alpha(answers, level) < -0.9 for level in LEVELS)


@pytest.mark.parametrize("level", LEVELS)
def test_more_noise_is_less_agreement(level):
    generator = torch.Generator().manual_seed(0)
    truth = 1 + 4 * torch.rand(300, generator=generator)
    noise = torch.randn(5, 300, generator=generator)
    alphas = [
        krippendorff_alpha((truth + spread * noise).round().clamp(1, 5), level)
        for spread in (0.1, 0.5, 1.0, 3.0)
    ]
    assert alphas == sorted(alphas, reverse=True) and alphas[0] > alphas[-1] + 0.3


def test_near_misses_count_by_level():
    """Answers that are one off are all wrong for nominal, and nearly right for interval."""
    truth = torch.arange(1, 6).repeat(20).double()
    answers = torch.stack([truth, truth + torch.tensor([0.0, 1.0]).repeat(50)])
    nominal, ordinal, interval = (krippendorff_alpha(answers, level) for level in LEVELS)
    assert nominal < ordinal and nominal < interval


def test_order_is_all_that_ordinal_sees():
    assert krippendorff_alpha(EXAMPLE.exp(), "ordinal") == pytest.approx(
        krippendorff_alpha(EXAMPLE, "ordinal")
    )
    assert krippendorff_alpha(-EXAMPLE, "interval") == pytest.approx(
        krippendorff_alpha(EXAMPLE, "interval")
    )


@pytest.mark.parametrize(
    "answers, message",
    [
        (torch.full((3, 4), NAN), "answers hold no unit with answers of two raters"),
        (torch.tensor([[1.0, NAN], [NAN, 2.0]]), "answers hold no unit"),
        (torch.tensor([[1.0, 2.0]]), "answers hold no unit"),
        (torch.ones(3, 4), "answers are all alike where two raters gave one"),
        (torch.tensor([[1.0, 2.0], [1.0, NAN]]), "answers are all alike"),
    ],
)
def test_answers_that_tell_nothing(answers, message: str):
    with pytest.raises(InputError, match=message):
        krippendorff_alpha(answers, "nominal")


def test_another_level():
    with pytest.raises(
        InputError, match="level is 'ratio'; expected one of nominal, ordinal, interval"
    ):
        krippendorff_alpha(EXAMPLE, "ratio")

"""Sample sizes against the closed form of the paired t test, and in the right direction."""

import re
from functools import partial

import pytest
import torch
from scipy.stats import nct, t

from creativelib.errors import InputError
from creativelib.study.power import LEAST, sample_size


def size(difference: float = 0.5, seed: int = 0, **changes):
    settings = {
        "between": 0.6,
        "within": 0.8,
        "pictures": 4,
        "draws": 1000,
        "generator": torch.Generator().manual_seed(seed),
    }
    return sample_size(difference, **(settings | changes))


def t_power(n: int, effect: float, level: float) -> float:
    """Compute the power of the two-sided paired t test; `effect` is in standard deviations."""
    limit = t.ppf(1 - level / 2, n - 1)
    away = effect * n**0.5
    return float(nct.sf(limit, n - 1, away) + nct.cdf(-limit, n - 1, away))


@pytest.mark.parametrize(
    "difference, power, level",
    [(0.3, 0.8, 0.05), (0.5, 0.8, 0.05), (0.5, 0.95, 0.05), (0.5, 0.8, 0.05 / 3), (0.8, 0.9, 0.05)],
)
def test_it_is_the_paired_t_tests_within_a_tenth_and_two(difference, power, level):
    """Compare with the paired t test.

    For normal differences the signed-rank test needs pi / 3 as many participants in the limit, 5 %
    more; the rest is the error of the simulation.
    """
    effect = difference / (0.6**2 + 2 * 0.8**2 / 4) ** 0.5
    wanted = next(n for n in range(2, 999) if t_power(n, effect, level) >= power)
    found = size(difference, power=power, level=level, draws=3000)
    assert 0.95 * wanted - 1 <= found.participants <= 1.1 * wanted + 2
    assert found.power >= power and found.error == pytest.approx(
        (found.power * (1 - found.power) / 3000) ** 0.5
    )
    assert found.power == pytest.approx(t_power(found.participants, effect, level), abs=0.04)


def test_a_sign_makes_no_difference():
    assert size(-0.5).participants == pytest.approx(size(0.5).participants, abs=2)


def test_what_makes_it_harder_takes_more_participants():
    default = size().participants
    for harder in (
        partial(size, 0.3),
        partial(size, between=1.0),
        partial(size, within=1.6),
        partial(size, pictures=1),
        partial(size, power=0.95),
        partial(size, level=0.01),
    ):
        assert harder().participants > default


def test_more_pictures_do_not_help_against_people_who_differ():
    assert size(within=0.0, pictures=1).participants == size(within=0.0, pictures=100).participants


def test_a_large_difference_takes_the_fewest_that_the_test_can_tell():
    assert size(10.0).participants == LEAST


def test_the_same_seed_gives_the_same_answer():
    assert size() == size()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"difference": 0.0}, "difference is 0.0, between 0.6 and within 0.8"),
        ({"between": 0.0, "within": 0.0}, "expected a difference and a spread that are not 0"),
        ({"between": -1.0}, "between is -1.0; expected 0 or more"),
        ({"within": -1.0}, "within is -1.0"),
        ({"pictures": 0}, "pictures is 0; expected 1 or more"),
        ({"power": 1.0}, "power is 1.0; expected a number between 0 and 1"),
        ({"level": 0.0}, "level is 0.0"),
        ({"most": 5}, "most is 5; expected 6 or more"),
        ({"draws": 0}, "draws is 0"),
        (
            {"difference": 0.01},
            "difference is 0.01; expected one that 400 participants find with power 0.8; "
            "they find this one with 0.",
        ),
    ],
)
def test_wrong_input_is_named(changes: dict, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        size(**changes)

"""Bootstrap intervals against the normal law, and their coverage."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.metrics.intervals import FewPicturesWarning, bootstrap, warn_if_few


def normal(n, seed):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def test_the_means_interval_is_the_normal_laws():
    x = normal(400, 0)
    found = bootstrap(x)
    half = 1.96 * x.std().item() / 20
    assert found.value == pytest.approx(x.mean().item()) and found.n == 400
    assert (found.low, found.high) == pytest.approx(
        (found.value - half, found.value + half), abs=0.15 * half
    )


def test_it_covers_the_truth_as_often_as_it_says():
    intervals = [bootstrap(normal(40, seed), draws=200) for seed in range(200)]
    hits = [interval.low <= 0 <= interval.high for interval in intervals]
    assert 0.89 <= sum(hits) / 200 <= 0.99


def test_more_values_and_a_lower_level_make_it_narrower():
    found = (
        bootstrap(normal(20, 0)),
        bootstrap(normal(200, 0)),
        bootstrap(normal(200, 0), level=0.5),
    )
    width = [each.high - each.low for each in found]
    assert width == sorted(width, reverse=True)


def test_other_statistics_of_rows():
    pairs = torch.stack([torch.full((30,), 2.0), torch.full((30,), 4.0)], 1)
    found = bootstrap(pairs, lambda rows: rows[:, 0].sum() / rows[:, 1].sum())
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_bad_input():
    with pytest.raises(InputError, match="values is empty"):
        bootstrap(torch.zeros(0))
    with pytest.raises(InputError, match="level is 1"):
        bootstrap(torch.zeros(3), level=1.0)


def test_few_pictures_are_warned_of():
    with pytest.warns(FewPicturesWarning, match="FID of 16 pictures: below 96"):
        warn_if_few("FID", 16, 96)
    warn_if_few("FID", 96, 96)

"""Distances to the nearest by brute force, and in the right direction."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.metrics.novelty import nearest_distance


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 9), st.integers(3, 20), st.integers(1, 3), st.integers(0, 999))
def test_by_brute_force(n, m, k, seed):
    z = normal(n, 4, seed)
    reference = normal(m, 4, seed + 1)
    wanted = [sorted(math.dist(x, y) for y in reference.tolist())[k - 1] for x in z.tolist()]
    assert nearest_distance(z, reference, k).tolist() == pytest.approx(wanted)


def test_copies_are_not_new_and_farther_is_newer():
    reference = normal(100, 8, 0)
    assert nearest_distance(reference[:10], reference).max() == 0
    distances = [
        nearest_distance(reference[:10] + step, reference).mean().item()
        for step in (0.0, 1.0, 3.0, 9.0)
    ]
    assert distances == sorted(distances)


@pytest.mark.parametrize("k", [0, 4])
def test_bad_k(k):
    message = f"k is {k}; expected 1 to the number of reference pictures, 3"
    with pytest.raises(InputError, match=message):
        nearest_distance(torch.zeros(2, 3), torch.ones(3, 3), k)

"""The Vendi score in closed form, by brute force, and in the right direction."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.metrics.diversity import total_variance, vendi


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_things_without_anything_in_common_count_one_each(q):
    assert vendi(torch.eye(5), q) == pytest.approx(5)
    assert vendi(torch.ones(5, 3), q) == pytest.approx(1)
    assert vendi(torch.eye(4).repeat_interleave(3, 0), q) == pytest.approx(4)


def test_unequal_shares_in_closed_form():
    """Three of one kind and one of another: eigenvalues 3/4 and 1/4."""
    z = torch.eye(2)[[0, 0, 0, 1]]
    assert vendi(z) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert vendi(z, 2) == pytest.approx(1 / (0.75**2 + 0.25**2))


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    st.integers(0, 999),
)
def test_the_definition_by_the_whole_matrix_of_cosines(n, d, q, seed):
    z = normal(n, d, seed).numpy()
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    share = np.clip(np.linalg.eigvalsh(unit @ unit.T / n), 1e-15, None)
    entropy = (
        -(share * np.log(share)).sum()
        if q == 1
        else np.log((share[share > 1e-12] ** q).sum()) / (1 - q)
    )
    assert vendi(torch.from_numpy(z), q) == pytest.approx(math.exp(entropy), rel=1e-6)


@given(st.integers(2, 10), st.integers(0, 999))
def test_repeating_the_set_changes_nothing_and_common_things_count_more_with_q(n, seed):
    z = normal(n, 4, seed)
    assert vendi(z.repeat(3, 1)) == pytest.approx(vendi(z))
    assert vendi(z, 0.5) >= vendi(z, 1.0) - 1e-9 >= vendi(z, 2.0) - 2e-9


def test_a_wider_set_scores_higher():
    center = torch.tensor([5.0, 0, 0, 0])
    scores = [vendi(center + spread * normal(50, 4, 0)) for spread in (0.1, 1, 10)]
    assert scores[0] < scores[1] < scores[2]


def test_nothing_and_a_bad_order_are_refused():
    with pytest.raises(InputError, match="z holds no embeddings"):
        vendi(torch.zeros(0, 3))
    with pytest.raises(InputError, match="q is 0; expected a number above 0"):
        vendi(torch.eye(3), 0)


def test_total_variance_is_half_the_mean_squared_distance():
    z = normal(7, 3, 0)
    apart = torch.cdist(z, z).square().sum() / (7 * 6)
    assert total_variance(z) == pytest.approx(apart.item() / 2)
    assert total_variance(2 * z) == pytest.approx(4 * total_variance(z))
    assert total_variance(torch.ones(4, 2)) == 0
    with pytest.raises(InputError, match="1 embeddings"):
        total_variance(z[:1])

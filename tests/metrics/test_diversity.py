"""The Vendi score in closed form, by brute force, and in the right direction."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.metrics.diversity import total_variance, vendi


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("q", [0, 0.5, 1.0, 2.0, 1e6, math.inf])
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


def of_shares(shares):
    """Make embeddings in which each kind, at right angles to the others, has its share of 1000."""
    kinds = torch.eye(len(shares), dtype=torch.float64)
    return kinds.repeat_interleave(torch.tensor([round(1000 * share) for share in shares]), 0)


def hill(shares, q):
    """Compute Hill's number of order q by its definition."""
    if q == 1:
        return math.exp(-sum(p * math.log(p) for p in shares))
    return 1 / max(shares) if q == math.inf else sum(p**q for p in shares) ** (1 / (1 - q))


SHARES = (0.5, 0.3, 0.15, 0.05)


@pytest.mark.parametrize("q", [0, 1e-9, 0.3, 1, 1.5, 1.999999, 2, 2.000001, 5, 60, 300, math.inf])
def test_every_order_in_closed_form(q):
    assert vendi(of_shares(SHARES), q) == pytest.approx(hill(SHARES, q), rel=1e-9)


def test_order_0_is_the_rank_and_order_infinity_the_largest_share():
    z = normal(30, 4, 0)
    assert vendi(z, 0) == pytest.approx(4)
    assert vendi(of_shares(SHARES), 0) == pytest.approx(4)
    assert vendi(of_shares(SHARES), math.inf) == pytest.approx(2)


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15])
def test_order_1_is_the_limit_from_both_sides(step):
    """Without digits lost in a division of 0 by 0."""
    z = normal(20, 8, 0)
    for q in (1 - step, 1 + step):
        assert vendi(z, q) == pytest.approx(vendi(z), rel=step + 1e-12)


@pytest.mark.parametrize("q", [1e3, 1e6, 1e12, 1e300, 1.7e308])
def test_large_orders_come_near_the_limit_and_do_not_overflow(q):
    z = normal(20, 8, 0)
    limit = vendi(z, math.inf)
    assert limit <= vendi(z, q) <= limit ** (q / (q - 1)) * 20 ** (1 / q)
    assert vendi(z, q) == pytest.approx(limit, rel=5 / q + 1e-9)


@given(
    st.integers(1, 12),
    st.integers(1, 6),
    st.lists(st.floats(0, 40) | st.sampled_from([0.0, 1.0, 1e9, math.inf]), min_size=2, max_size=6),
    st.integers(0, 999),
)
def test_a_larger_order_never_scores_more(n, d, orders, seed):
    z = normal(n, d, seed)
    scores = [vendi(z, q) for q in sorted(orders)]
    for larger, smaller in pairwise(scores):
        assert smaller <= larger * (1 + 1e-9)
    assert scores[-1] >= 1 - 1e-9 and scores[0] <= min(n, d) * (1 + 1e-9)


@pytest.mark.parametrize("q", [-1, -math.inf, math.nan, True])
def test_a_bad_order_is_refused(q):
    with pytest.raises(InputError, match=f"q is {q!r}; expected 0 or more"):
        vendi(torch.eye(3), q)


def test_total_variance_is_half_the_mean_squared_distance():
    z = normal(7, 3, 0)
    apart = torch.cdist(z, z).square().sum() / (7 * 6)
    assert total_variance(z) == pytest.approx(apart.item() / 2)
    assert total_variance(2 * z) == pytest.approx(4 * total_variance(z))
    assert total_variance(torch.ones(4, 2)) == 0
    with pytest.raises(InputError, match="z holds 1 embeddings; expected at least 2"):
        total_variance(z[:1])

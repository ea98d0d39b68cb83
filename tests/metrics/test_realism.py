"""Fidelity against torch-fidelity, brute force and closed forms, and in the right direction."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_fidelity.metric_kid import kernel_mmd
from torch_fidelity.metric_prc import calculate_precision_recall_full

from creativelib.errors import InputError
from creativelib.metrics.realism import fidelity, frechet, kid

DRAWS = 100


def normal(n, d, seed, mean=0.0, spread=1.0):
    return mean + spread * torch.randn(
        n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@given(st.integers(7, 30), st.integers(7, 30), st.integers(1, 6), st.integers(0, 999))
def test_precision_and_recall_are_torch_fidelitys(n, m, k, seed):
    drawn = normal(n, 3, seed)
    real = normal(m, 3, seed + 1, mean=0.5)
    found = fidelity(drawn, real, k)
    # Its convention: what was drawn comes first.
    assert (found.precision, found.recall) == pytest.approx(
        calculate_precision_recall_full(drawn, real, k)
    )


@given(st.integers(7, 20), st.integers(7, 20), st.integers(1, 6), st.integers(0, 999))
def test_density_and_coverage_by_brute_force(n, m, k, seed):
    drawn = normal(n, 2, seed)
    real = normal(m, 2, seed + 1)
    radius = [sorted(math.dist(x, y) for y in real.tolist())[k] for x in real.tolist()]
    inside = [
        [math.dist(y, x) <= r for x, r in zip(real.tolist(), radius, strict=True)]
        for y in drawn.tolist()
    ]
    found = fidelity(drawn, real, k)
    assert found.density == pytest.approx(sum(map(sum, inside)) / (k * n))
    assert found.coverage == pytest.approx(sum(any(row[i] for row in inside) for i in range(m)) / m)


def test_worse_sets_score_worse():
    real = normal(400, 4, 0)
    same, far, narrow = (
        fidelity(x, real)
        for x in (normal(400, 4, 1), normal(400, 4, 1, mean=3.0), normal(400, 4, 1, spread=0.2))
    )
    assert far.precision < same.precision
    assert far.density < same.density
    assert far.coverage < same.coverage
    assert far.recall < same.recall
    assert narrow.recall < same.recall
    assert narrow.coverage < same.coverage
    assert narrow.precision >= same.precision


def test_copies_are_perfect_by_all_of_them():
    real = normal(50, 4, 0)
    found = fidelity(real, real)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert frechet(real, real) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_gaussians_in_closed_form():
    """Diagonal covariances commute: the distances of means and of deviations add up."""
    spread = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    a = normal(200_000, 3, 0)
    b = normal(200_000, 3, 1, mean=0.5) * spread
    wanted = (0.5 * spread).square().sum() + (spread - 1).square().sum()
    assert frechet(a, b) == pytest.approx(wanted.item(), rel=0.02)


def test_a_shift_costs_its_square_exactly():
    a = normal(30, 5, 0)
    assert frechet(a, a + 2) == pytest.approx(5 * 4, rel=1e-6)
    assert frechet(a, a + 1) < frechet(a, a + 2)


def test_too_few_pictures_are_refused():
    with pytest.raises(InputError, match="drawn holds 5 pictures; expected more than k = 5"):
        fidelity(normal(5, 2, 0), normal(9, 2, 0))
    with pytest.raises(InputError, match="b holds 1 pictures"):
        frechet(normal(5, 2, 0), normal(1, 2, 0))


@given(st.integers(3, 20), st.integers(1, 8), st.integers(0, 999))
def test_kid_is_torch_fidelitys_for_sets_of_one_size(n, d, seed):
    a = normal(n, d, seed)
    b = normal(n, d, seed + 1, mean=0.5)
    wanted = kernel_mmd(
        a.numpy(),
        b.numpy(),
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1.0,
    )
    assert kid(a, b).value == pytest.approx(wanted, abs=1e-9)


def test_kid_does_not_depend_on_the_number_of_pictures_and_its_error_is_that_of_repeated_draws():
    estimates = {
        n: [kid(normal(n, 6, 3 * i), normal(2 * n, 6, 3 * i + 1, mean=0.4)) for i in range(DRAWS)]
        for n in (10, 40)
    }
    for each in estimates.values():
        values = torch.tensor([one.value for one in each])
        errors = torch.tensor([one.error for one in each])
        ratio = errors.square().mean().sqrt() / values.std()
        assert ratio.item() == pytest.approx(1, abs=0.25)
    few, many = (torch.tensor([one.value for one in estimates[n]]) for n in (10, 40))
    assert (few.mean() - many.mean()).abs() < 3 * few.std() / DRAWS**0.5
    same = torch.tensor(
        [kid(normal(10, 6, 2 * i), normal(10, 6, 2 * i + 1)).value for i in range(DRAWS)]
    )
    assert same.mean().abs() < 3 * same.std() / DRAWS**0.5 < many.mean() / 3


def test_kid_of_a_shift_grows():
    a = normal(60, 5, 0)
    found = [kid(normal(60, 5, 1, mean=mean), a).value for mean in (0.0, 0.5, 1.0)]
    assert found == sorted(found)
    with pytest.raises(InputError, match="a holds 2"):
        kid(a[:2], a)

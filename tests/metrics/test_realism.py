"""Fidelity against torch-fidelity, brute force and closed forms, and in the right direction."""

import math
import statistics
from itertools import combinations, permutations, starmap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch_fidelity.metric_prc import calculate_precision_recall_full

from creativelib.errors import InputError
from creativelib.metrics.realism import cmmd, fidelity, frechet


def seeded(seed):
    return torch.Generator().manual_seed(seed)


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
    with pytest.raises(InputError, match="drawn holds 5 embeddings; expected at least 6"):
        fidelity(normal(5, 2, 0), normal(9, 2, 0))
    with pytest.raises(InputError, match="b holds 1 embeddings"):
        frechet(normal(5, 2, 0), normal(1, 2, 0))


@given(st.integers(3, 9), st.integers(3, 9), st.integers(1, 4), st.integers(0, 999))
def test_cmmd_by_brute_force(n, m, d, seed):
    drawn = normal(n, d, seed, mean=0.5).tolist()
    reference = normal(m, d, seed + 1).tolist()
    width = statistics.median_low(starmap(math.dist, combinations(reference, 2)))

    def kernel(x, y):
        return math.exp(-(math.dist(x, y) ** 2) / (2 * width**2))

    own, other = (statistics.mean(starmap(kernel, permutations(z, 2))) for z in (drawn, reference))
    across = statistics.mean(kernel(x, y) for x in drawn for y in reference)
    found = cmmd(torch.tensor(drawn), torch.tensor(reference)).value
    assert found == pytest.approx(own + other - 2 * across, abs=1e-5)


def test_cmmd_does_not_depend_on_the_number_of_pictures_and_its_error_is_that_of_repeated_draws():
    draws = range(60)
    shifted, more, same = (
        [cmmd(normal(n, 6, 2 * i, mean=mean), normal(2 * n, 6, 2 * i + 1)) for i in draws]
        for n, mean in ((10, 0.4), (30, 0.4), (10, 0.0))
    )
    few, many, none = (
        torch.tensor([found.value for found in each]) for each in (shifted, more, same)
    )
    assert (few.mean() - many.mean()).abs() < 3 * few.std() / 60**0.5
    assert none.mean().abs() < 3 * none.std() / 60**0.5 < many.mean() / 2
    errors = torch.tensor([found.error for found in more])
    assert (errors.square().mean().sqrt() / many.std()).item() == pytest.approx(1, abs=0.25)


def species(n, seed):
    """Draw unit embeddings as the judge's of one category: 64 dimensions, species about a mean.

    Their total variance is near that of the judge's pets, 0.3.
    """
    mean = normalize(normal(1, 64, 0), dim=1)
    centers = normal(12, 64, 1)[torch.randint(12, (n,), generator=seeded(seed))]
    return normalize(mean + 0.08 * centers + 0.03 * normal(n, 64, seed), dim=1)


def kid(a, b):
    """Compute the kernel distance with the kernel (x'y / d + 1)^3, unbiased."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def among(x):
        return (kernel(x, x).sum() - kernel(x, x).trace()) / (len(x) * (len(x) - 1))

    return (among(a) + among(b) - 2 * kernel(a, b).mean()).item()


@pytest.mark.parametrize("n", [16, 64])
def test_cmmd_sees_copies_a_narrow_set_and_a_shift(n):
    """All score worse than any of twenty fresh samples; KID sees no copies of the mean picture."""
    reference = species(200, 2)
    fresh = [species(n, 10 + i) for i in range(20)]
    drawn = fresh[0]
    center = drawn.mean(0)
    worse = {
        "copies of the mean": reference.mean(0).expand(n, -1),
        "copies of one picture": drawn[:1].expand(n, -1),
        "a set at half the distance from its mean": center + 0.5 * (drawn - center),
        "a shift": drawn + 0.3 * normalize(normal(1, 64, 4), dim=1),
    }
    best = max(cmmd(z, reference).value for z in fresh)
    assert abs(best) < 0.02
    for name, z in worse.items():
        assert cmmd(z, reference).value > 1.5 * best, name
    blind = worse["copies of the mean"]
    assert kid(blind, reference) < max(kid(z, reference) for z in fresh)


def test_cmmd_grows_with_the_shift_and_with_the_collapse():
    reference = species(200, 2)
    drawn = species(64, 3)
    center = drawn.mean(0)
    direction = normalize(normal(1, 64, 4), dim=1)
    shifts = [cmmd(drawn + step * direction, reference).value for step in (0.0, 0.2, 0.4)]
    narrow = [cmmd(center + s * (drawn - center), reference).value for s in (1.0, 0.6, 0.3, 0.0)]
    assert shifts == sorted(shifts) and narrow == sorted(narrow)


def test_cmmd_is_the_same_in_other_units():
    drawn = species(16, 3)
    reference = species(60, 2)
    found = cmmd(drawn, reference)
    assert cmmd(30 * drawn, 30 * reference).value == pytest.approx(found.value, rel=1e-9)


def test_cmmd_of_what_no_kernel_can_tell_is_refused():
    reference = species(20, 2)
    with pytest.raises(InputError, match="drawn holds 2 embeddings; expected at least 3"):
        cmmd(reference[:2], reference)
    with pytest.raises(InputError, match="reference holds 20 embeddings, most of them equal"):
        cmmd(reference, reference[:1].expand(20, -1))

"""Novelty by brute force and in closed form, and in the right direction."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.metrics.novelty import authenticity, ken, nearest_distance, rarity_scores
from creativelib.metrics.realism import fidelity


def normal(n, d, seed, mean=0.0):
    generator = torch.Generator().manual_seed(seed)
    return mean + torch.randn(n, d, generator=generator, dtype=torch.float64)


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


def nearest_others(z, k):
    """List the distance of each row to its k-th nearest other row."""
    return [sorted(math.dist(x, y) for y in z)[k] for x in z]


@given(st.integers(1, 8), st.integers(4, 14), st.integers(1, 3), st.integers(0, 999))
def test_rarity_scores_by_brute_force(n, m, k, seed):
    drawn = normal(n, 2, seed).tolist()
    real = normal(m, 2, seed + 1).tolist()
    radii = nearest_others(real, k)
    wanted = []
    for x in drawn:
        balls = [r for y, r in zip(real, radii, strict=True) if math.dist(x, y) <= r]
        wanted.append(min(balls, default=math.nan))
    found = rarity_scores(torch.tensor(drawn).double(), torch.tensor(real).double(), k)
    assert found.tolist() == pytest.approx(wanted, rel=1e-6, nan_ok=True)


def test_rare_pictures_of_the_world_have_a_larger_rarity_score_and_others_none():
    """Real pictures on a line, one apart at its dense end and ten at the other."""
    dense = torch.arange(20.0)
    sparse = 100 + 10 * torch.arange(20.0)
    real = torch.cat([dense, sparse])[:, None]
    drawn = torch.tensor([[5.2], [205.0], [60.0]])
    common, rare, off = rarity_scores(drawn, real, 1).tolist()
    assert common == 1 and rare == 10 and math.isnan(off)


def test_pictures_without_a_rarity_score_are_those_that_precision_misses():
    drawn = normal(60, 3, 0) * 2
    real = normal(80, 3, 1)
    scored = ~rarity_scores(drawn, real, 4).isnan()
    assert scored.double().mean().item() == fidelity(drawn, real, 4).precision
    assert 0 < scored.sum() < 60


@given(st.integers(1, 8), st.integers(2, 14), st.integers(0, 999))
def test_authenticity_by_brute_force(n, m, seed):
    drawn = normal(n, 2, seed).tolist()
    training = normal(m, 2, seed + 1).tolist()
    own = nearest_others(training, 1)
    authentic = 0
    for x in drawn:
        distance, nearest = min((math.dist(x, y), i) for i, y in enumerate(training))
        authentic += distance > own[nearest]
    found = authenticity(torch.tensor(drawn).double(), torch.tensor(training).double())
    assert found == pytest.approx(authentic / n)


def test_copies_are_not_authentic_even_of_twins_and_other_things_are():
    training = normal(100, 4, 0)
    noise = normal(100, 4, 1)
    shares = [authenticity(training + step * noise, training) for step in (0.0, 0.1, 0.5, 3.0)]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] > 0.9
    twins = training[:10].repeat(2, 1)
    assert authenticity(twins, twins) == 0
    half = torch.cat([training[:50], training[50:] + 20])
    assert authenticity(half, training) == 0.5


@pytest.mark.parametrize("eta", [0.1, 0.3, 0.7, 2.0])
def test_ken_of_two_modes_in_closed_form(eta):
    """Of two points, whose distance is the width: eigenvalues of a matrix of two rows."""
    points = torch.tensor([[0.0, 1.0], [3.0, 5.0]])
    first = 0.75 - eta / 2  # how much oftener the point is drawn
    second = 0.25 - eta / 2
    middle = (first + second) / 2
    spread = math.sqrt(middle**2 - first * second * (1 - math.exp(-1)))
    found = [value for value in (middle + spread, middle - spread) if value > 0]
    wanted = sum(value * math.log(sum(found) / value) for value in found)
    assert ken(points[[0, 0, 0, 1]], points, eta) == pytest.approx(wanted, abs=1e-9)
    assert (wanted > 0) == (eta < 0.5)


@given(st.integers(1, 7), st.integers(3, 9), st.floats(0.3, 4), st.integers(0, 999))
def test_ken_by_the_other_matrix(n, m, eta, seed):
    """The paper's matrix is not symmetric and has the same positive eigenvalues."""
    drawn = normal(n, 3, seed).numpy()
    reference = normal(m, 3, seed + 1, mean=0.5).numpy()
    apart = np.linalg.norm(reference[:, None] - reference, axis=2)[np.triu_indices(m, 1)]
    width = np.quantile(apart, 0.5, method="lower")

    def kernel(x, y):
        square = ((x[:, None] - y) ** 2).sum(2)
        return np.exp(-square / (2 * width**2)) / math.sqrt(len(x) * len(y))

    across = math.sqrt(eta) * kernel(drawn, reference)
    own = kernel(drawn, drawn)
    matrix = np.block([[own, across], [-across.T, -eta * kernel(reference, reference)]])
    values = np.linalg.eigvals(matrix).real
    values = values[values > 1e-9]
    wanted = (values * np.log(values.sum() / values)).sum()
    found = ken(torch.from_numpy(drawn), torch.from_numpy(reference), eta)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_part_of_the_reference_is_not_new_and_new_modes_are_and_more_of_them_more():
    centers = 3 * normal(10, 16, 0)

    def pictures(n, kinds, seed):
        which = torch.randint(len(kinds), (n,), generator=torch.Generator().manual_seed(seed))
        return centers[kinds][which] + 0.3 * normal(n, 16, seed)

    known = [0, 1, 2, 3, 4]
    reference = pictures(200, known, 1)
    assert ken(reference[:16], reference) == pytest.approx(0, abs=1e-8)
    assert ken(reference, reference) == pytest.approx(0, abs=1e-8)
    fresh = ken(pictures(16, known, 2), reference)
    half = ken(torch.cat([pictures(8, known, 2), pictures(8, [5, 6, 7, 8, 9], 3)]), reference)
    new = ken(pictures(16, [5, 6, 7, 8, 9], 3), reference)
    few = ken(pictures(16, [5, 6], 3), reference)
    one = ken(centers[[5]].expand(16, -1), reference)
    assert one < fresh < half < new and few < new
    assert new > 4 * fresh


def test_modes_that_are_shown_oftener_count_more_as_eta_falls():
    drawn = normal(20, 4, 0, mean=0.5)
    reference = normal(60, 4, 1)
    scores = [ken(drawn, reference, eta) for eta in (10.0, 3.0, 1.0, 0.3)]
    assert scores == sorted(scores)
    assert ken(drawn, reference) == ken(drawn, reference, 3.0)
    with pytest.raises(InputError, match="eta is 0; expected a number above 0"):
        ken(drawn, reference, 0)

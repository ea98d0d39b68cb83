"""The divergence of Gaussians against torch.distributions, and in the right direction."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

from creativelib.errors import InputError
from creativelib.metrics.divergence import excess_over_floor, fitted, gaussian_kl


def normal(n, d, seed, mean=0.0, spread=1.0):
    return mean + spread * torch.randn(
        n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_kl_in_closed_form():
    """Of two isotropic Gaussians: d (s^2 - 1 - log s^2) / 2 + d m^2 / 2."""
    a = normal(100_000, 3, 0, mean=0.5, spread=1.5)
    b = normal(100_000, 3, 1)
    wanted = 3 * (1.5**2 - 1 - math.log(1.5**2)) / 2 + 3 * 0.25 / 2
    assert gaussian_kl(a, b) == pytest.approx(wanted, rel=0.03)
    assert gaussian_kl(a, a) == pytest.approx(0, abs=1e-9)


def test_the_mean_is_the_samples_and_the_covariance_shrunk():
    z = normal(40, 20, 0) * torch.linspace(0.1, 3, 20)
    found = fitted(z)
    own = torch.cov(z.T)
    assert torch.allclose(found.loc, z.mean(0))
    values = torch.linalg.eigvalsh(own)
    shrunk = torch.linalg.eigvalsh(found.covariance_matrix)
    assert shrunk[0] > values[0] and shrunk[-1] < values[-1] and shrunk.min() > 0


def test_few_embeddings_of_many_dimensions_still_give_a_divergence():
    assert 0 < gaussian_kl(normal(10, 50, 0), normal(12, 50, 1)) < 50


def test_farther_is_more():
    reference = normal(300, 4, 0)
    found = [gaussian_kl(normal(300, 4, 1, mean=mean), reference) for mean in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


def test_the_floor_is_the_mean_of_its_samples():
    drawn = normal(10, 3, 0, mean=0.3)
    reference = normal(40, 3, 1)
    samples = normal(50, 3, 2).view(5, 10, 3)
    floor = sum(gaussian_kl(sample, reference) for sample in samples) / 5
    found = excess_over_floor(gaussian_kl, drawn, reference, samples)
    assert found == pytest.approx(gaussian_kl(drawn, reference) - floor)


def test_plain_sampling_has_no_excess():
    """Runs on a category share its floor; with one sample they would share its luck."""
    excess = {1: [], 8: []}
    for seed in range(20):
        reference = normal(40, 10, seed)
        run = normal(12, 10, 100 + seed)
        floors = normal(8 * 12, 10, 200 + seed).view(8, 12, 10)
        for samples, found in excess.items():
            found.append(excess_over_floor(gaussian_kl, run, reference, floors[:samples]))
    one, many = (torch.tensor(found) for found in excess.values())
    assert many.mean().abs() < 3 * many.std() / 20**0.5
    assert many.std() < 0.85 * one.std()


def test_a_shift_is_an_excess():
    reference = normal(80, 30, 0)
    floors = normal(4 * 60, 30, 4).view(4, 60, 30)
    shifted = normal(60, 30, 3, mean=0.5)
    assert excess_over_floor(gaussian_kl, shifted, reference, floors) > 3


def test_agrees_with_torch_given_the_same_gaussians():
    a = normal(50, 5, 0)
    b = normal(60, 5, 1, spread=2.0)
    assert gaussian_kl(a, b) == pytest.approx(kl_divergence(fitted(a), fitted(b)).item())


def test_bad_input():
    with pytest.raises(InputError, match="drawn holds 2 embeddings; expected at least 3"):
        gaussian_kl(normal(2, 3, 0), normal(5, 3, 0))
    with pytest.raises(InputError, match="reference holds 5 embeddings that are all equal"):
        gaussian_kl(normal(5, 3, 0), torch.ones(5, 3))
    with pytest.raises(
        InputError,
        match="floor_samples holds samples of 4 embeddings; expected as many as drawn",
    ):
        excess_over_floor(
            gaussian_kl,
            drawn=normal(5, 3, 0),
            reference=normal(9, 3, 0),
            floor_samples=normal(8, 3, 0).view(2, 4, 3),
        )

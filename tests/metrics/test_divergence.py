"""Divergences of Gaussians against torch.distributions and limits, and in the right direction."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from creativelib.errors import InputError
from creativelib.metrics.divergence import excess_over_floor, fitted, gaussian_js, gaussian_kl


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(n, d, seed, mean=0.0, spread=1.0):
    return mean + spread * torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


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


def test_js_by_quadrature():
    """In one dimension the integral can be done on a grid."""
    a = normal(500, 1, 0, mean=1.0)
    b = normal(500, 1, 1, spread=2.0)
    x = torch.linspace(-20, 20, 200_001, dtype=torch.float64)[:, None]
    p, q = (
        MultivariateNormal(g.loc, g.covariance_matrix).log_prob(x).exp()
        for g in map(fitted, (a, b))
    )
    m = (p + q) / 2
    wanted = torch.trapezoid(
        (torch.xlogy(p, p / m) + torch.xlogy(q, q / m)).nan_to_num() / 2, x[:, 0]
    ).item()
    assert gaussian_js(a, b, generator=seeded(2), draws=100_000) == pytest.approx(wanted, abs=0.004)


def test_js_lies_between_its_limits_and_is_symmetric():
    a = normal(300, 4, 0)
    b = normal(300, 4, 1, mean=0.7)
    far = normal(300, 4, 2, mean=50.0)
    assert gaussian_js(a, a, generator=seeded(0)) == pytest.approx(0, abs=1e-12)
    assert gaussian_js(a, far, generator=seeded(0)) == pytest.approx(math.log(2), abs=1e-6)
    forward = gaussian_js(a, b, generator=seeded(0))
    backward = gaussian_js(b, a, generator=seeded(1))
    assert forward == pytest.approx(backward, abs=0.01) and 0 < forward < math.log(2)


@pytest.mark.parametrize(
    "divergence", [gaussian_kl, lambda a, b: gaussian_js(a, b, generator=seeded(0))]
)
def test_farther_is_more(divergence):
    reference = normal(300, 4, 0)
    found = [divergence(normal(300, 4, 1, mean=mean), reference) for mean in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


def test_the_floor_of_the_same_distribution_is_taken_off():
    """On average over draws; one pair of draws may still differ."""
    reference = normal(80, 30, 0)
    divergences = []
    excesses = []
    for seed in range(1, 41):
        drawn = normal(60, 30, seed)
        floor = normal(60, 30, 100 + seed)
        divergences.append(gaussian_kl(drawn, reference))
        excesses.append(excess_over_floor(gaussian_kl, drawn, reference, floor_sample=floor))
    mean = sum(divergences) / 40
    assert mean > 0.3 and abs(sum(excesses) / 40) < 0.2 * mean
    shifted = normal(60, 30, 3, mean=0.5)
    floor = normal(60, 30, 4)
    assert excess_over_floor(gaussian_kl, shifted, reference, floor_sample=floor) > 3


def test_agrees_with_torch_given_the_same_gaussians():
    a = normal(50, 5, 0)
    b = normal(60, 5, 1, spread=2.0)
    assert gaussian_kl(a, b) == pytest.approx(kl_divergence(fitted(a), fitted(b)).item())


def test_bad_input():
    with pytest.raises(InputError, match="2 embeddings; a Gaussian needs at least 3"):
        gaussian_kl(normal(2, 3, 0), normal(5, 3, 0))
    with pytest.raises(InputError, match="all equal"):
        gaussian_kl(torch.ones(5, 3), normal(5, 3, 0))
    with pytest.raises(
        InputError, match="floor_sample holds 4 embeddings; expected as many as drawn, 5"
    ):
        excess_over_floor(
            gaussian_kl,
            drawn=normal(5, 3, 0),
            reference=normal(9, 3, 0),
            floor_sample=normal(4, 3, 0),
        )

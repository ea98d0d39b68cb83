"""The density against scipy, finite differences, and its own samples."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from creativelib.density import GaussianDensity
from creativelib.errors import InputError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def samples(n=400, d=6, seed=0):
    """Correlated samples whose variance falls from direction to direction."""
    spread = torch.randn(d, d, generator=seeded(seed), dtype=torch.float64) * torch.logspace(0, -1.5, d, dtype=torch.float64)
    return torch.randn(n, d, generator=seeded(seed + 1), dtype=torch.float64) @ spread.T + 3


@pytest.mark.parametrize("pca", [0.5, 0.95, 1.0])
def test_log_prob_equals_scipy(pca):
    density = GaussianDensity.fit(samples(), pca=pca)
    full = density.axes.T @ density.covariance @ density.axes
    full = full + density.residual_variance * (torch.eye(6, dtype=torch.float64) - density.axes.T @ density.axes)
    expected = stats.multivariate_normal(mean=density.mean.numpy(), cov=full.numpy()).logpdf(samples(50, seed=5).numpy())
    assert np.allclose(density.log_prob(samples(50, seed=5)).numpy(), expected, rtol=0, atol=1e-6)


def test_log_prob_in_the_subspace_equals_scipy():
    density = GaussianDensity.fit(samples(), pca=0.8, residual=False)
    inside = (samples(50, seed=5) - density.mean) @ density.axes.T
    covariance: Any = density.covariance.numpy()
    expected = stats.multivariate_normal(mean=np.zeros(len(density.axes)), cov=covariance).logpdf(inside.numpy())
    assert np.allclose(density.log_prob(samples(50, seed=5)).numpy(), expected, rtol=0, atol=1e-6)


@given(seed=st.integers(0, 1000), pca=st.floats(0.3, 1.0), residual=st.booleans())
@settings(max_examples=20, deadline=None)
def test_score_equals_autograd_and_finite_differences(seed, pca, residual):
    density = GaussianDensity.fit(samples(), pca=pca, residual=residual)
    z = samples(3, seed=seed).requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob(z).sum(), z)
    assert torch.allclose(density.score(z), gradient, atol=1e-8)
    direction = torch.randn(z.shape, generator=seeded(seed), dtype=torch.float64)
    step = 1e-5
    numeric = (density.log_prob(z + step * direction) - density.log_prob(z - step * direction)) / (2 * step)
    assert torch.allclose(numeric, (gradient * direction).sum(-1), rtol=1e-5, atol=1e-5)


def test_blind_spot_without_residual():
    z = samples()
    seeing, blind = GaussianDensity.fit(z, pca=0.8), GaussianDensity.fit(z, pca=0.8, residual=False)
    away = torch.linalg.svd(blind.axes).Vh[-1]  # a direction the subspace does not contain
    typical = z.mean(0)
    assert blind.surprisal(typical + 5 * away) == pytest.approx(blind.surprisal(typical).item())
    assert seeing.surprisal(typical + 5 * away) > seeing.surprisal(typical) + 10


def test_samples_follow_the_density():
    density = GaussianDensity.fit(samples(4000), pca=0.9)
    drawn = density.sample(20000, seeded(3))
    again = GaussianDensity.fit(drawn, pca=1.0)
    full = again.axes.T @ again.covariance @ again.axes
    expected = density.axes.T @ density.covariance @ density.axes
    expected = expected + density.residual_variance * (torch.eye(6, dtype=torch.float64) - density.axes.T @ density.axes)
    assert torch.allclose(full, expected, atol=0.05 * expected.diagonal().max().item())
    assert again.percentile_of(again.surprisal(again.sample(20000, seeded(4)))).mean() == pytest.approx(50, abs=1.5)


def test_whitened_samples_are_standard():
    white = GaussianDensity.fit(samples(4000), pca=0.9).whiten(samples(4000))
    assert torch.allclose(white.T.cov(), torch.eye(white.shape[1], dtype=torch.float64), atol=0.05)


def test_quantile_and_percentile_agree():
    z = samples(1001)
    density = GaussianDensity.fit(z)
    assert density.quantile(0.5) == pytest.approx(density.surprisal(z).median().item())
    percentiles = density.percentile_of(torch.tensor([density.quantile(0.0), density.quantile(0.9), 1e9]))
    assert percentiles.tolist() == pytest.approx([0, 90, 100], abs=0.2)


def test_rarer_means_more_surprising():
    density = GaussianDensity.fit(samples())
    surprisal = density.surprisal(density.mean + torch.linspace(0, 9, 10, dtype=torch.float64)[:, None] * density.axes[0])
    assert (surprisal.diff() > 0).all()


def test_precision_and_axes_of_the_input_are_kept():
    density = GaussianDensity.fit(samples(60).float().view(4, 15, 6))
    z = samples(6).float().view(2, 3, 6)
    assert density.log_prob(z).shape == (2, 3) and density.log_prob(z).dtype == torch.float32
    assert density.score(z).shape == (2, 3, 6)


def test_few_samples_give_a_regularised_fit():
    z = samples(5, d=20)
    density = GaussianDensity.fit(z)
    assert torch.linalg.eigvalsh(density.covariance).min() > 0
    assert density.log_prob(samples(50, d=20, seed=9)).isfinite().all()


def test_save_and_load(tmp_path):
    density = GaussianDensity.fit(samples())
    density.save(tmp_path / "density.safetensors")
    again = GaussianDensity.load(tmp_path / "density.safetensors")
    assert torch.allclose(again.log_prob(samples(5)), density.log_prob(samples(5)))
    assert again.quantile(0.99) == density.quantile(0.99)
    (tmp_path / "broken").write_text("no")
    with pytest.raises(InputError, match="broken"):
        GaussianDensity.load(tmp_path / "broken")


@pytest.mark.parametrize(("z", "settings", "words"), [
    (samples(), {"pca": 0.0}, "pca is 0.0"),
    (samples(), {"pca": 1.5}, "pca is 1.5"),
    (samples(2), {}, "2 samples"),
    (torch.full((9, 4), 3.0), {}, "all equal"),
    (torch.full((9, 4), torch.nan), {}, "not finite"),
    (torch.cat([samples(9, d=2), torch.zeros(9, 3)], 1), {"pca": 1.0}, "residual=False"),
])
def test_degenerate_input(z, settings, words):
    with pytest.raises(InputError, match=words):
        GaussianDensity.fit(z, **settings)

"""Densities against scipy, finite differences, and their own samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from creativelib.density import FlowDensity, GaussianDensity, MixtureDensity, Moments, load
from creativelib.errors import InputError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def samples(n=400, d=6, seed=0):
    """Correlated samples whose variance falls from direction to direction."""
    spread = torch.randn(d, d, generator=seeded(seed), dtype=torch.float64) * torch.logspace(
        0, -1.5, d, dtype=torch.float64
    )
    return torch.randn(n, d, generator=seeded(seed + 1), dtype=torch.float64) @ spread.T + 3


@pytest.mark.parametrize("pca", [0.5, 0.95, 1.0])
def test_log_prob_equals_scipy(pca):
    density = GaussianDensity.fit(samples(), pca=pca)
    full = density.subspace.axes.T @ density.covariance @ density.subspace.axes
    full = full + density.subspace.residual_variance * (
        torch.eye(6, dtype=torch.float64) - density.subspace.axes.T @ density.subspace.axes
    )
    expected = stats.multivariate_normal(
        mean=density.subspace.mean.numpy(), cov=full.numpy()
    ).logpdf(samples(50, seed=5).numpy())
    assert np.allclose(density.log_prob(samples(50, seed=5)).numpy(), expected, rtol=0, atol=1e-6)


def test_log_prob_in_the_subspace_equals_scipy():
    density = GaussianDensity.fit(samples(), pca=0.8, residual=False)
    inside = (samples(50, seed=5) - density.subspace.mean) @ density.subspace.axes.T
    covariance: Any = density.covariance.numpy()
    expected = stats.multivariate_normal(
        mean=np.zeros(len(density.subspace.axes)), cov=covariance
    ).logpdf(inside.numpy())
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
    numeric = (density.log_prob(z + step * direction) - density.log_prob(z - step * direction)) / (
        2 * step
    )
    assert torch.allclose(numeric, (gradient * direction).sum(-1), rtol=1e-5, atol=1e-5)


def test_blind_spot_without_residual():
    z = samples()
    seeing = GaussianDensity.fit(z, pca=0.8)
    blind = GaussianDensity.fit(z, pca=0.8, residual=False)
    away = torch.linalg.svd(blind.subspace.axes).Vh[-1]  # a direction the subspace does not contain
    typical = z.mean(0)
    assert blind.surprisal(typical + 5 * away) == pytest.approx(blind.surprisal(typical).item())
    assert seeing.surprisal(typical + 5 * away) > seeing.surprisal(typical) + 10


def test_samples_follow_the_density():
    density = GaussianDensity.fit(samples(4000), pca=0.9)
    drawn = density.sample(20000, seeded(3))
    again = GaussianDensity.fit(drawn, pca=1.0)
    full = again.subspace.axes.T @ again.covariance @ again.subspace.axes
    expected = density.subspace.axes.T @ density.covariance @ density.subspace.axes
    expected = expected + density.subspace.residual_variance * (
        torch.eye(6, dtype=torch.float64) - density.subspace.axes.T @ density.subspace.axes
    )
    assert torch.allclose(full, expected, atol=0.05 * expected.diagonal().max().item())
    assert again.percentile_of(
        again.surprisal(again.sample(20000, seeded(4)))
    ).mean() == pytest.approx(50, abs=1.5)


def test_whitened_samples_are_standard():
    white = GaussianDensity.fit(samples(4000), pca=0.9).whiten(samples(4000))
    assert torch.allclose(white.T.cov(), torch.eye(white.shape[1], dtype=torch.float64), atol=0.05)


def test_quantile_and_percentile_agree():
    z = samples(1001)
    density = GaussianDensity.fit(z)
    # Held-out samples are slightly more surprising than fitted ones.
    own = density.surprisal(z).median().item()
    assert own < density.quantile(0.5) == pytest.approx(own, abs=0.1)
    percentiles = density.percentile_of(
        torch.tensor([density.quantile(0.0), density.quantile(0.9), 1e9])
    )
    assert percentiles.tolist() == pytest.approx([0, 90, 100], abs=0.2)


def test_rarer_means_more_surprising():
    density = GaussianDensity.fit(samples())
    surprisal = density.surprisal(
        density.subspace.mean
        + torch.linspace(0, 9, 10, dtype=torch.float64)[:, None] * density.subspace.axes[0]
    )
    assert (surprisal.diff() > 0).all()


def test_precision_and_axes_of_the_input_are_kept():
    density = GaussianDensity.fit(samples(60).float().view(4, 15, 6))
    z = samples(6).float().view(2, 3, 6)
    assert density.log_prob(z).shape == (2, 3) and density.log_prob(z).dtype == torch.float32
    assert density.score(z).shape == (2, 3, 6)


def test_few_samples_give_a_regularized_fit():
    z = samples(5, d=20)
    density = GaussianDensity.fit(z)
    assert torch.linalg.eigvalsh(density.covariance).min() > 0
    assert density.log_prob(samples(50, d=20, seed=9)).isfinite().all()


KINDS = {
    "gaussian": GaussianDensity.fit,
    "mixture": lambda z, **settings: MixtureDensity.fit(z, k=3, **settings),
    "flow": lambda z, **settings: FlowDensity.fit(z, steps=30, **settings),
}


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    z = torch.cat([samples(300), samples(300) + 2 * samples(1, seed=8)])
    return KINDS[request.param](z, pca=0.99)


def test_every_kind_has_a_score_equal_to_finite_differences(fitted):
    z = samples(4, seed=3)
    direction = torch.randn(z.shape, generator=seeded(2), dtype=torch.float64)
    step = 1e-6
    numeric = (fitted.log_prob(z + step * direction) - fitted.log_prob(z - step * direction)) / (
        2 * step
    )
    assert torch.allclose(numeric, (fitted.score(z) * direction).sum(-1), rtol=1e-4, atol=1e-4)
    z.requires_grad_()
    assert torch.allclose(
        torch.autograd.grad(fitted.log_prob(z).sum(), z)[0], fitted.score(z), atol=1e-8
    )


def test_samples_of_every_kind_belong_to_its_scores(fitted):
    """Check Stein's identity.

    Over samples of the density, the product of the score and the offset from any fixed point is
    minus the dimension on average.
    """
    z = fitted.sample(6000, seeded(5))
    along = (fitted.score(z) * (z - z.mean(0))).sum(-1)
    assert along.mean().item() == pytest.approx(-6, abs=4 * along.std().item() / 6000**0.5)
    assert along.std().item() / 6000**0.5 < 0.5


def test_every_kind_keeps_axes_precision_and_order(fitted):
    z = samples(6).float().view(2, 3, 6)
    assert fitted.log_prob(z).shape == (2, 3) and fitted.log_prob(z).dtype == torch.float32
    assert fitted.score(z).shape == (2, 3, 6) and fitted.whiten(z).shape[:2] == (2, 3)
    assert torch.allclose(fitted.log_prob(z.double())[1, 2], fitted.log_prob(z[1, 2].double()))


@pytest.mark.parametrize("path", [str, Path])
def test_every_kind_is_saved_and_loaded(fitted, tmp_path, path):
    file = path(tmp_path / "new" / "folder" / "density.safetensors")
    fitted.save(file)
    again = load(file)
    assert type(again) is type(fitted)
    assert torch.equal(again.log_prob(samples(5)), fitted.log_prob(samples(5)))
    assert again.quantile(0.99) == fitted.quantile(0.99)


def test_every_kind_names_the_subspace_in_files_as_before(fitted):
    tensors = fitted.state_dict()
    assert {name for name in tensors if name.startswith("subspace.")} == {
        "subspace.mean",
        "subspace.axes",
        "subspace.variances",
        "subspace.rest",
    }
    assert torch.equal(tensors["subspace.rest"], fitted.subspace.residual_variance)


def test_every_kind_describes_itself(fitted):
    lines = repr(fitted).splitlines()
    q = len(fitted.subspace.axes)
    residual = "with" if q < 6 else "without"
    assert len(lines) <= 5
    assert lines[0] == f"{type(fitted).__name__} (kind {fitted.kind!r})"
    assert lines[1].strip() == f"{q} principal components of 6 dimensions, {residual} a residual"
    assert lines[2].strip() == (
        f"surprisal of {len(fitted.fit_surprisal)} fitted samples: "
        f"median {fitted.quantile(0.5):.1f} nats, "
        f"99th percentile {fitted.quantile(0.99):.1f} nats"
    )


def test_a_description_tells_a_residual_and_a_density_without_samples():
    density = GaussianDensity.fit(samples(), pca=0.8)
    assert "with a residual" in repr(density)
    blind = GaussianDensity.fit(samples(), pca=0.8, residual=False)
    assert "without a residual" in repr(blind)
    empty = replace(density, fit_surprisal=torch.zeros(0, dtype=torch.float64))
    assert repr(empty).endswith("surprisal of 0 fitted samples")


def test_every_kind_whitens_its_fit(fitted):
    white = fitted.whiten(torch.cat([samples(300), samples(300) + 2 * samples(1, seed=8)]))
    assert torch.allclose(white.std(0), torch.ones(white.shape[1], dtype=torch.float64), atol=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_every_kind_is_the_same_on_a_gpu(fitted):
    z = samples(8, seed=3)
    for name in ("log_prob", "score", "whiten"):
        on_gpu = getattr(fitted, name)(z.cuda())
        assert on_gpu.is_cuda
        assert torch.allclose(on_gpu.cpu(), getattr(fitted, name)(z), atol=1e-6)
    percent = fitted.percentile_of(fitted.surprisal(z).cuda())
    assert torch.allclose(percent.cpu(), fitted.percentile_of(fitted.surprisal(z)), atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_density_moves_to_a_gpu(fitted):
    """Values, quantiles and samples are those of the original."""
    z = samples(8, seed=3)
    moved = fitted.to(torch.device("cuda"))
    assert moved.subspace.mean.is_cuda and fitted.to(torch.device("cpu")) is fitted
    assert torch.allclose(moved.log_prob(z.cuda()).cpu(), fitted.log_prob(z), atol=1e-6)
    assert moved.quantile(0.9) == pytest.approx(fitted.quantile(0.9))
    assert torch.allclose(
        moved.sample(4, torch.Generator().manual_seed(0)),
        fitted.sample(4, torch.Generator().manual_seed(0)),
        atol=1e-6,
    )


def test_every_kind_asks_for_the_width_of_the_fit(fitted):
    with pytest.raises(InputError, match="width 5; expected 6"):
        fitted.log_prob(torch.zeros(2, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fits_the_same_twice(kind):
    first, second = (KINDS[kind](samples(), pca=0.99) for _ in range(2))
    assert torch.equal(first.log_prob(samples(9)), second.log_prob(samples(9)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_refuses_degenerate_input(kind):
    for z, words in (
        (samples(1), "1 samples"),
        (torch.full((30, 4), 2.0), "all equal"),
        (torch.full((30, 4), torch.nan), "not finite"),
    ):
        with pytest.raises(InputError, match=words):
            KINDS[kind](z)


def test_a_mixture_equals_scikit_learn():
    from sklearn.mixture import GaussianMixture

    z = torch.cat([samples(300), samples(200, seed=4) - 3])
    ours = MixtureDensity.fit(z, k=3, pca=1.0, residual=False)
    theirs: Any = GaussianMixture(3)
    theirs.weights_ = ours.log_weights.exp().numpy()
    theirs.means_ = (ours.means @ ours.subspace.axes + ours.subspace.mean).numpy()
    theirs.covariances_ = (ours.subspace.axes.T @ ours.covariances @ ours.subspace.axes).numpy()
    theirs.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(theirs.covariances_)).transpose(
        0, 2, 1
    )
    assert np.allclose(ours.log_prob(z).numpy(), theirs.score_samples(z.numpy()), rtol=0, atol=1e-6)


def test_bic_counts_the_clouds():
    centers = 8 * torch.randn(4, 5, generator=seeded(0), dtype=torch.float64)
    z = centers[torch.randint(4, (1200,), generator=seeded(1))] + torch.randn(
        1200, 5, generator=seeded(2), dtype=torch.float64
    )
    assert len(MixtureDensity.fit(z, pca=1.0, residual=False).log_weights) == 4


def test_a_mixture_of_one_is_the_gaussian_without_shrinkage():
    z = samples(4000)
    one = MixtureDensity.fit(z, k=1)
    gaussian = GaussianDensity.fit(z)
    assert torch.allclose(one.log_prob(z), gaussian.log_prob(z), atol=0.05)


@pytest.mark.parametrize("k", [0, 500, (), (500, 600)])
def test_a_mixture_needs_a_sensible_count(k):
    with pytest.raises(InputError, match="k is"):
        MixtureDensity.fit(samples(), k=k)


def test_a_flow_integrates_to_one_and_beats_a_gaussian_on_a_bent_cloud():
    angle = 3 * torch.rand(1500, generator=seeded(0), dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(
        1500, 2, generator=seeded(1), dtype=torch.float64
    )
    flow = FlowDensity.fit(z, pca=1.0, residual=False, steps=300)
    ticks = torch.linspace(-4, 4, 321, dtype=torch.float64)
    mass = (
        flow.log_prob(torch.cartesian_prod(ticks, ticks)).exp().sum() * (ticks[1] - ticks[0]) ** 2
    )
    assert mass.item() == pytest.approx(1, abs=0.01)
    assert (
        flow.log_prob(z).mean()
        > GaussianDensity.fit(z, pca=1.0, residual=False).log_prob(z).mean() + 0.3
    )


def test_a_flow_is_a_gaussian_far_out():
    density = FlowDensity.fit(samples(), pca=1.0, residual=False, steps=5)
    far = 20 * torch.tensor([[1.0, -1, 1, 1, -1, 1], [-1, -1, -2, 1, 1, 3]], dtype=torch.float64)
    space = density.subspace
    z = space.mean + (far * space.variances.sqrt()) @ space.axes
    gaussian = stats.multivariate_normal(
        mean=space.mean.numpy(), cov=(space.axes.T @ space.variances.diag() @ space.axes).numpy()
    )
    assert np.allclose(density.log_prob(z).numpy(), gaussian.logpdf(z.numpy()), rtol=1e-9)


def test_a_flow_that_diverges_ends_with_its_best_state_or_says_so():
    z = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"lr is 1e\+308; .* loss is not finite at step"):
        FlowDensity.fit(z, lr=1e308, steps=30)


def test_a_flow_needs_samples_and_directions():
    with pytest.raises(InputError, match="at least 20"):
        FlowDensity.fit(samples(10))
    with pytest.raises(InputError, match="at least 2"):
        FlowDensity.fit(samples(), pca=0.01)


@given(cuts=st.lists(st.integers(1, 99), min_size=1, max_size=6), shift=st.floats(-1e3, 1e3))
@settings(max_examples=25, deadline=None)
def test_merged_moments_are_those_of_the_whole(cuts, shift):
    z = samples(100) + shift
    parts = [part for part in z.tensor_split(sorted(cuts)) if len(part)]
    merged = Moments.stream(parts)
    whole = Moments.of(z)
    assert merged.n == whole.n
    assert torch.allclose(merged.mean, whole.mean, rtol=1e-12)
    assert torch.allclose(merged.scatter, whole.scatter, rtol=1e-9, atol=1e-9)
    assert np.allclose(merged.covariance.numpy(), np.cov(z.numpy().T), rtol=1e-9, atol=1e-10)


def test_moments_refuse_what_does_not_belong_together():
    with pytest.raises(InputError, match="width 6 and 5; expected one width"):
        Moments.of(samples()) + Moments.of(samples(d=5))
    with pytest.raises(InputError, match="at least 1 tensor"):
        Moments.stream([])
    with pytest.raises(InputError, match="no samples"):
        Moments.of(torch.zeros(0, 3))


def test_a_stream_gives_the_fit_of_all_samples_at_once():
    z = samples(5000)
    streamed = GaussianDensity.fit_stream(iter(z.split(700)), iter(z.split(900)), pca=0.9)
    whole = GaussianDensity.fit(z, pca=0.9)
    # Only Ledoit and Wolf's shrinkage differs.
    assert torch.allclose(streamed.log_prob(z), whole.log_prob(z), atol=0.02)
    assert streamed.quantile(0.9) == pytest.approx(whole.quantile(0.9), abs=0.02)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "broken").write_text("no")
    for file in (tmp_path / "broken", str(tmp_path / "broken")):
        with pytest.raises(InputError, match="broken'; expected a saved density"):
            load(file)


@pytest.mark.parametrize(
    ("z", "settings", "words"),
    [
        (samples(), {"pca": 0.0}, "pca is 0.0"),
        (samples(), {"pca": 1.5}, "pca is 1.5"),
        (samples(2), {}, "2 samples"),
        (torch.full((9, 4), 3.0), {}, "all equal"),
        (torch.full((9, 4), torch.nan), {}, "not finite"),
        (torch.cat([samples(9, d=2), torch.zeros(9, 3)], 1), {"pca": 1.0}, "residual=False"),
    ],
)
def test_degenerate_input(z, settings, words):
    with pytest.raises(InputError, match=words):
        GaussianDensity.fit(z, **settings)

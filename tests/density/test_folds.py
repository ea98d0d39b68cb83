"""Quantiles come from samples that a fit has not seen: they hold for new samples."""

import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from creativelib.commands.creation import density_file
from creativelib.density import (
    FewSamplesWarning,
    FlowDensity,
    GaussianDensity,
    MixtureDensity,
    load,
)
from creativelib.steering.settings import STEER_DEFAULTS


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(n, seed, d=24):
    return torch.randn(n, d, generator=seeded(seed), dtype=torch.float64) * torch.logspace(1, 0, d)


KINDS = {
    "gaussian": GaussianDensity.fit,
    "gaussian without a residual": lambda z: GaussianDensity.fit(z, residual=False),
    "gaussian in all directions": lambda z: GaussianDensity.fit(z, pca=1.0),
    "mixture": lambda z: MixtureDensity.fit(z, k=2),
    "flow": lambda z: FlowDensity.fit(z, steps=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_new_samples_lie_below_the_tail_as_often_as_it_says(kind):
    """Of 100 fitted samples; in the fit's own surprisals up to half of new ones lie beyond it."""
    shares = []
    for seed in range(1 if kind == "flow" else 6):
        density = KINDS[kind](draw(100, seed))
        surprisal = density.surprisal(draw(4000, 100))
        shares.append((surprisal < density.quantile(0.99)).double().mean().item())
    assert 0.96 < sum(shares) / len(shares) < 0.9999


@pytest.mark.parametrize(("n", "judged"), [(60, 60), (400, 160), (2000, 400)])
def test_a_flow_judges_no_more_folds_than_the_tail_needs(n, judged):
    assert len(FlowDensity.fit(draw(n, 0, d=3), steps=1).fit_surprisal) == judged


@pytest.mark.parametrize("kind", KINDS)
def test_folds_do_not_depend_on_what_was_drawn_before(kind):
    first = KINDS[kind](draw(60, 0)).fit_surprisal
    torch.rand(7)
    assert torch.equal(KINDS[kind](draw(60, 0)).fit_surprisal, first)


@pytest.mark.parametrize(
    ("z", "residual"),
    [
        (draw(3, 0), False),
        (draw(5, 0), True),
        (draw(20, 0), True),
        (torch.cat([torch.zeros(29, 4), torch.ones(1, 4)]), False),
        (torch.cat([draw(3, 0, d=3)] * 10), True),
    ],
)
def test_the_fewest_samples_have_finite_quantiles(z, residual):
    """Where a fit to the rest would be refused, too."""
    density = GaussianDensity.fit(z, pca=0.7, residual=residual)
    assert len(density.fit_surprisal) == len(z) and density.fit_surprisal.isfinite().all()


def test_the_kth_of_n_samples_has_k_of_n_plus_1_below():
    density = replace(GaussianDensity.fit(draw(30, 0)), fit_surprisal=torch.arange(1, 200.0))
    for k in (1, 100, 198, 199):
        assert density.quantile(k / 200) == pytest.approx(k)
    assert density.quantile(0.9925) == pytest.approx(198.5)
    assert (density.quantile(0.0), density.quantile(1.0)) == (1, 199)


def test_too_few_samples_for_a_quantile_are_named():
    few = GaussianDensity.fit(draw(60, 0))
    words = "quantile 0.99 of 60 samples lies beyond all of them; expected at least 99 samples"
    with pytest.warns(FewSamplesWarning, match=words):
        assert few.quantile(0.99) == few.fit_surprisal[-1].item()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert few.quantile(0.5) < few.quantile(0.95) < few.quantile(1.0)
        assert "99th percentile" in repr(few)
        GaussianDensity.fit(draw(99, 0)).quantile(0.99)


@pytest.mark.parametrize(
    "density",
    [
        GaussianDensity.fit(draw(200, 0, d=2), pca=1.0),
        MixtureDensity.fit(torch.cat([draw(200, 0, d=2), draw(100, 1, d=2) / 3 + 9]), k=3, pca=1.0),
    ],
)
def test_nothing_is_less_surprising_than_the_least(density):
    ticks = torch.linspace(-30, 30, 601, dtype=torch.float64)
    grid = density.surprisal(torch.cartesian_prod(ticks, ticks))
    assert density.least_surprisal() <= grid.min()
    assert density.least_surprisal() == pytest.approx(grid.min().item(), abs=0.02)


def test_a_flow_does_not_know_its_least():
    assert FlowDensity.fit(draw(60, 0), steps=1).least_surprisal() == float("-inf")


def test_a_file_of_the_former_format_is_read_as_it_is(tmp_path):
    density = GaussianDensity.fit(draw(200, 0))
    own = density.surprisal(draw(200, 0)).sort().values
    density.save(tmp_path / "new")
    with safe_open(tmp_path / "new", "pt") as stored:
        about = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    save_file(tensors | {"fit_surprisal": own}, tmp_path / "old", metadata=about)
    assert json.loads(about["creativelib"]) == {"kind": "gaussian"}
    assert torch.equal(load(tmp_path / "old").fit_surprisal, own)


def test_cached_densities_of_the_former_format_are_fitted_anew(pipe, monkeypatch):
    name = density_file(pipe, "a photo of a pet", STEER_DEFAULTS)
    monkeypatch.setattr("creativelib.commands.creation.FORMAT", 2)
    assert density_file(pipe, "a photo of a pet", STEER_DEFAULTS) != name

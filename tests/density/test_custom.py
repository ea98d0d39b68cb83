"""Custom densities against the closed forms of the normal distribution that they wrap."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from creativelib.density import CustomDensity, load
from creativelib.errors import InputError

D = 4


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(dtype=torch.float64):
    """Make a normal distribution with a full covariance."""
    factor = torch.randn(D, D, generator=seeded(0), dtype=torch.float64).tril()
    covariance = factor @ factor.T + 0.5 * torch.eye(D, dtype=torch.float64)
    mean = torch.arange(D, dtype=torch.float64)
    return MultivariateNormal(mean.to(dtype), covariance.to(dtype))


def draw(n, seed, model=None):
    model = model or normal()
    white = torch.randn(n, D, generator=seeded(seed), dtype=torch.float64)
    return model.loc + white @ model.scale_tril.T.double()


class Model:
    """A model with a given log-density; without one, it has no `log_prob`."""

    def __init__(self, log_prob=None):
        if log_prob:
            self.log_prob = log_prob


class Sampler(Model):
    """A model with `sample`, and weights that `to` moves."""

    def __init__(self):
        super().__init__(normal().log_prob)
        self.weight = torch.nn.Parameter(torch.ones(D))
        self.device = torch.device("cpu")

    def sample(self, n, generator):
        return self.weight * torch.randn(n, D, generator=generator)

    def to(self, device):
        self.device = device
        return self


@pytest.fixture(scope="module")
def density():
    return CustomDensity.fit(normal(), draw(500, 1))


def test_log_prob_is_the_models(density):
    z = draw(9, 2)
    assert torch.equal(density.log_prob(z), normal().log_prob(z))
    assert torch.equal(density.surprisal(z), -normal().log_prob(z))


def test_the_score_equals_the_closed_form_and_autograd(density):
    z = draw(9, 2)
    offsets = z - normal().loc
    wanted = -torch.linalg.solve(normal().covariance_matrix, offsets.T).T
    assert torch.allclose(density.score(z), wanted)
    with torch.no_grad():
        assert torch.allclose(density.score(z), wanted)
    z.requires_grad_()
    assert torch.allclose(torch.autograd.grad(density.log_prob(z).sum(), z)[0], wanted)


def test_leading_axes_are_flattened_for_the_model_and_restored():
    shapes = []

    def log_prob(z):
        shapes.append(tuple(z.shape))
        return normal().log_prob(z)

    density = CustomDensity.fit(Model(log_prob), draw(60, 1).view(3, 20, D))
    z = draw(6, 2).view(2, 3, D)
    assert torch.equal(density.log_prob(z), normal().log_prob(z))
    assert density.score(z).shape == (2, 3, D)
    assert density.log_prob(z[0, 0]).shape == ()
    assert shapes == [(60, D), (6, D), (6, D), (1, D)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_model_works_in_the_precision_of_the_input(dtype):
    precisions = []

    def log_prob(z):
        precisions.append(z.dtype)
        return normal(z.dtype).log_prob(z)

    density = CustomDensity.fit(Model(log_prob), draw(60, 1).to(dtype))
    z = draw(6, 2).to(dtype)
    assert density.log_prob(z).dtype == density.score(z).dtype == dtype
    assert set(precisions) == {dtype}
    assert density.fit_surprisal.dtype == torch.float64


def test_the_precision_of_a_model_that_computes_in_another_one_is_undone(density):
    z = draw(6, 2).float()
    assert normal().log_prob(z).dtype == torch.float64
    assert density.log_prob(z).dtype == density.score(z).dtype == torch.float32


def test_quantiles_and_percentiles_are_those_of_the_samples(density):
    surprisal = -normal().log_prob(draw(500, 1))
    assert torch.equal(density.fit_surprisal, surprisal.sort().values)
    assert density.quantile(0.5) == pytest.approx(surprisal.quantile(0.5).item())
    assert density.percentile_of(torch.tensor([-1e9, 1e9])).tolist() == [0, 100]


def test_the_subspace_is_that_of_the_samples():
    z = draw(500, 1)
    density = CustomDensity.fit(normal(), z, pca=1.0)
    white = density.whiten(z)
    assert torch.allclose(white.T.cov(), torch.eye(D, dtype=torch.float64), atol=1e-6)
    assert len(CustomDensity.fit(normal(), z, pca=0.6).subspace.axes) < D


def test_a_trainable_model_leaves_no_graph():
    scale = torch.nn.Parameter(torch.ones(D, dtype=torch.float64))
    density = CustomDensity.fit(Model(lambda z: -(z * scale).square().sum(-1)), draw(60, 1))
    assert not density.fit_surprisal.requires_grad


def test_samples_are_the_models_own():
    density = CustomDensity.fit(Sampler(), draw(60, 1))
    z = density.sample(5, seeded(3))
    assert z.shape == (5, D) and z.dtype == torch.float64 and not z.requires_grad
    assert torch.equal(z, torch.randn(5, D, generator=seeded(3)).double())


def test_to_another_device_moves_tensors_and_a_model_that_can_move(density):
    meta = torch.device("meta")
    assert density.to(torch.device("cpu")) is density
    moved = density.to(meta)
    assert moved.model is density.model
    assert moved.subspace.axes.device == moved.fit_surprisal.device == meta
    assert CustomDensity.fit(Sampler(), draw(60, 1)).to(meta).model.device == meta


def test_it_describes_itself(density):
    lines = repr(density).splitlines()
    assert len(lines) == 4
    assert lines[0] == "CustomDensity (kind 'custom')"
    assert "surprisal of 500 fitted samples: median" in lines[2]
    assert lines[3].strip() == "model MultivariateNormal over all 4 dimensions"


def test_it_cannot_be_saved(density, tmp_path):
    with pytest.raises(InputError, match="a custom density can't be saved"):
        density.save(tmp_path / "density.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="tensors do not hold the model"):
        CustomDensity.from_state_dict(density.state_dict())
    with pytest.raises(InputError, match="expected a saved density"):
        load(tmp_path / "density.safetensors")


@pytest.mark.parametrize(
    "model, message",
    [
        (Model(), "model is a Model without a log_prob; expected one finite log-density"),
        (Model(lambda z: 0.0), r"log_prob returns a float; expected .* of shape \(60,\)"),
        (Model(lambda z: z), r"log_prob returns shape \(60, 4\); expected .* of shape \(60,\)"),
        (Model(lambda z: z.sum()), r"log_prob returns shape \(\); expected"),
        (Model(lambda z: (z[:, 0] > 1).double().log()), "is not finite for .* of 60 samples"),
    ],
)
def test_a_model_without_one_finite_number_for_each_sample_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        CustomDensity.fit(model, draw(60, 1))


@pytest.mark.parametrize(
    "samples, pca, message",
    [
        (torch.zeros(0, D), 0.95, "no samples"),
        (draw(2, 1), 0.95, "2 samples"),
        (torch.ones(9, D), 0.95, "all equal"),
        (torch.full((9, D), torch.nan), 0.95, "not finite"),
        (draw(60, 1), 0.0, "pca is 0.0"),
    ],
)
def test_degenerate_samples_are_refused(samples, pca, message):
    with pytest.raises(InputError, match=message):
        CustomDensity.fit(normal(), samples, pca)


def test_bad_calls_are_refused(density):
    with pytest.raises(InputError, match=f"width 5; expected {D}"):
        density.log_prob(torch.zeros(2, 5))
    with pytest.raises(InputError, match="Model without a sample; expected"):
        CustomDensity.fit(Model(normal().log_prob), draw(60, 1)).sample(2, seeded(0))

"""What needs float64 works with tensors of a device that lacks it, such as Apple's MPS.

The device is simulated, see `fake_mps`: only that nothing asks it for float64 or mixes devices is
checked here, and that results come back to it.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from creativelib.density import CustomDensity, FlowDensity, GaussianDensity, MixtureDensity
from creativelib.density.base import Density
from creativelib.fitting.precision import to_float64
from creativelib.metrics.divergence import gaussian_kl
from creativelib.metrics.diversity import total_variance, vendi
from creativelib.metrics.intervals import bootstrap
from creativelib.metrics.novelty import authenticity, ken, nearest_distance, rarity_scores
from creativelib.metrics.realism import cmmd, fidelity, frechet
from creativelib.optimization.objectives import MeanAnchor, Rarity, Repulsion
from creativelib.steering.guidance import move_to_surprisal, survivors
from creativelib.study.design import Study
from creativelib.study.simulation import Raters, simulate
from creativelib.unclip.autoregressive import Codes, pick
from fake_mps import MPS, FakeMps, on_mps

FIT = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
Z = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
OTHER = torch.randn(12, 4, generator=torch.Generator().manual_seed(2)) + 0.5


class Standard:
    """A model of another library, in float32."""

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(1)


FITS: dict[str, Callable[[Tensor], Density]] = {
    "gaussian": GaussianDensity.fit,
    "mixture": lambda z: MixtureDensity.fit(z, k=2),
    "flow": lambda z: FlowDensity.fit(z, steps=2),
    "custom": lambda z: CustomDensity.fit(Standard(), z),
}


def assert_same(found: Any, expected: Any) -> None:
    """Compare results from the simulated device with those of a CPU."""
    if isinstance(expected, Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found.as_subclass(Tensor), expected)
    else:
        assert found == expected


def test_the_simulated_device_refuses_what_the_real_one_does():
    with FakeMps():
        z = on_mps(Z)
        assert z.device == (z + 1).device == z[0].device == torch.zeros(2, device=MPS).device == MPS
        for wrong in (
            z.double,
            lambda: z.to(torch.float64),
            lambda: torch.ones(2).double().to(MPS),
        ):
            with pytest.raises(TypeError, match="float64"):
                wrong()
        for wrong in (lambda: z + Z, lambda: z @ Z.T, lambda: torch.cat([Z, z])):
            with pytest.raises(RuntimeError, match="same device"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            z.numpy()
        assert z.cpu().device.type == "cpu"
        assert torch.ones(2).double().to(z).device == MPS


def test_float64_is_computed_on_the_cpu():
    with FakeMps():
        found = to_float64(on_mps(Z))
        assert found.device.type == "cpu"
    assert torch.equal(found, Z.double())


@pytest.mark.parametrize("kind", FITS)
def test_densities(kind):
    density = FITS[kind](FIT)

    def values(z: Tensor, density: Density) -> list[Tensor]:
        surprisal = density.surprisal(z)
        found = [surprisal, density.score(z), density.whiten(z), density.percentile_of(surprisal)]
        return [*found, move_to_surprisal(density, z, 9.0), survivors(density, 5.0, 2)(z[None], 0)]

    expected = values(Z, density)
    with FakeMps():
        fitted = FITS[kind](on_mps(FIT))
        assert repr(fitted) == repr(density)
        for each in (density, fitted, density.to(MPS)):
            found = values(on_mps(Z), each)
            assert {value.device for value in found} == {MPS}
            for one, two in zip(found, expected, strict=True):
                assert_same(one, two)


def test_gradients_of_objectives():
    density = GaussianDensity.fit(FIT)
    objective = Rarity(density, 9.0) + Repulsion(density) + MeanAnchor(density)

    def gradient(z: Tensor) -> Tensor:
        z = z.view(2, 6, 4).clone().requires_grad_()
        return torch.autograd.grad(objective(z).total.sum(), z)[0]

    expected = gradient(Z)
    with FakeMps():
        found = gradient(on_mps(Z))
        assert found.device == MPS
    assert_same(found, expected)


METRICS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "vendi": lambda a, b: (vendi(a), vendi(b, 2.0)),
    "variance": lambda a, b: total_variance(a),
    "bootstrap": lambda a, b: bootstrap(a[:, 0], draws=10),
    "novelty": lambda a, b: nearest_distance(a, b, 2),
    "fidelity": lambda a, b: fidelity(a, b, 3),
    "frechet": frechet,
    "cmmd": cmmd,
    "kl": gaussian_kl,
    "ken": ken,
    "rarity": lambda a, b: rarity_scores(a, b, 3).nan_to_num(),
    "authenticity": authenticity,
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name):
    expected = METRICS[name](Z, OTHER)
    with FakeMps():
        found = METRICS[name](on_mps(Z), on_mps(OTHER))
    assert_same(found, expected)


def test_codes_of_the_autoregressive_prior():
    like = torch.linspace(-1, 1, 80)
    chance = torch.rand(12, generator=torch.Generator().manual_seed(3))

    def values(z: Tensor, like: Tensor, chance: Tensor) -> list[Tensor]:
        codes = Codes.fit(FIT, like)
        numbers = codes.encode(z)
        return [numbers, codes.decode(numbers), codes.dot(z, 2 * z + 1), pick(z, chance)]

    expected = values(Z, like, chance)
    with FakeMps():
        found = values(on_mps(Z), on_mps(like), on_mps(chance))
        assert {value.device for value in found} == {MPS}
    for one, two in zip(found, expected, strict=True):
        assert_same(one, two)


def test_simulated_votes():
    study = Study("s", ("a", "b"), ("pet",), pictures=2, pairs=1, checks=1)
    rarity = torch.tensor([[[0.1, 0.9]], [[0.5, 0.2]]])
    valid = rarity > 0.3

    def votes(rarity: Tensor, valid: Tensor) -> Any:
        generator = torch.Generator().manual_seed(0)
        return simulate(study, rarity, valid, Raters(2, careless=0), generator=generator)

    expected = votes(rarity, valid)
    with FakeMps():
        assert votes(on_mps(rarity), on_mps(valid)) == expected

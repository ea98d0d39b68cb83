"""Steering: where the dial points, and that concepts end past the baseline's tail."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from creativelib.concept import TokenConcept
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.objectives import Terms
from creativelib.optimize import Step
from creativelib.recipes import Aim, SteerConfig, aim, anchor_floor, drain, fit_baseline, nearest, steer

CONFIG = SteerConfig(concepts=2, samples=3, steps=40, baseline=200, anchor=0.0)


@pytest.fixture(scope="module")
def density(pipe):
    return fit_baseline(pipe, "a photo of a pet", CONFIG)


def test_the_baseline_is_the_models_and_no_runs(pipe, density):
    again = fit_baseline(pipe, "a photo of a pet", CONFIG)
    assert torch.equal(again.fit_surprisal, density.fit_surprisal) and len(density.fit_surprisal) == 200


def test_the_dial(density):
    assert aim(density, 0.0).target == pytest.approx(density.quantile(0.5))
    assert aim(density, 1.0).target == pytest.approx(density.quantile(0.99))
    beyond = aim(density, 1.5)
    assert density.quantile(0.99) < beyond.goal < beyond.target
    assert aim(density, 0.3).goal == aim(density, 0.3).target


def test_steering_goes_past_the_tail(pipe, density):
    result = steer(pipe, "pet", density, CONFIG)
    assert result.passed.all() and result.steps < CONFIG.steps - 1
    assert (result.surprisal >= result.aim.goal).all() and result.aim.goal > density.quantile(0.99)
    fresh = pipe.sample_prior(result.concept.condition(pipe, "a photo of a {}"), 20, generator=torch.Generator().manual_seed(9),
                              guidance=CONFIG.guidance)
    assert density.surprisal(fresh).median() > density.quantile(0.9)
    with pytest.raises(FrozenInstanceError):
        setattr(result, "steps", 3)  # noqa: B010 - a plain assignment is what the type checker already forbids


def test_steering_fits_the_baseline_itself(pipe, density):
    config = replace(CONFIG, steps=2)
    assert torch.equal(steer(pipe, "pet", config=config).concept.vectors, steer(pipe, "pet", density, config).concept.vectors)


def test_the_floor_lies_between_nothing_and_the_prompt(pipe):
    low, middle, high = (anchor_floor(pipe, "a photo of a pet", replace(CONFIG, floor=share)) for share in (0.0, 0.5, 1.0))
    assert middle == pytest.approx((low + high) / 2, abs=1e-6) and low != high


def test_the_candidates_nearest_the_target_are_kept():
    density = GaussianDensity.fit(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)))
    z = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(1)) * 3
    kept = nearest(z, density, 12.0, 5)
    far = (density.surprisal(z) - 12).abs().sort(1).values
    assert torch.allclose((density.surprisal(kept) - 12).abs(), far[:, :5], atol=1e-4)


def test_each_concept_is_kept_as_it_was_when_it_passed():
    density = GaussianDensity.fit(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)))
    distances = torch.tensor([[0.0, 0.0], [9.0, 0.0], [1.0, 0.0], [1.0, 9.0], [5.0, 5.0]])
    steps = [Step(i, TokenConcept("pet", torch.full((2, 4), float(i)), 1.0), row[:, None, None].expand(2, 3, 4), Terms(row, {}))
             for i, row in enumerate(distances)]
    result = drain(steps, density, Aim(target=50.0, goal=40.0))
    assert result.concept.vectors[:, 0].tolist() == [1.0, 3.0]
    assert result.steps == 3 and result.passed.all()
    short = drain(steps[:3], density, Aim(target=50.0, goal=40.0))
    assert short.concept.vectors[:, 0].tolist() == [1.0, 2.0] and short.passed.tolist() == [True, False]
    with pytest.raises(InputError, match="steps is empty"):
        drain([], density, Aim(50.0, 40.0))


@pytest.mark.parametrize(("name", "value"), [
    ("concepts", 0), ("candidates", 0), ("samples", 0), ("steps", 0), ("prior_steps", 1), ("lr", 0.0), ("dial", -1.0), ("floor", -0.5),
    ("kind", "verb"),
])
def test_bad_settings(name, value):
    with pytest.raises(InputError, match=f"{name} is {value!r}"):
        SteerConfig(**{name: value})

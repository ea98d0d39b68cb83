"""Habituation: batches of concepts that turn away from what was shown before."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.optimization.objectives import Rarity
from creativelib.steering.habituation import (
    NO_HABITUATION,
    Habituation,
    HabituationConfig,
    iter_in_turn,
    result_of_turn,
    steer_in_turn,
)
from creativelib.steering.recipe import steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline, rarity_target

CONFIG = SteerConfig(
    kind="subject", concepts=2, samples=3, steps=12, baseline_samples=200, anchor=0.0, spread=0.0
)
TWICE = HabituationConfig(batches=2, weight=100.0)


@pytest.fixture(scope="module")
def density(pipe):
    return fit_baseline(pipe, "a photo of a pet", CONFIG)


@pytest.fixture(scope="module")
def shown_twice(pipe, density):
    return steer_in_turn(pipe, "pet", density, CONFIG, TWICE)


@pytest.fixture
def toy():
    z = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return GaussianDensity.fit(z * torch.tensor([3.0, 2.0, 1.0, 0.5]), pca=1.0)


def whitened_directions(pipe, density, concept):
    z = concept.sample(pipe, "a photo of a {}", 64, noise=torch.Generator().manual_seed(9))
    return density.whiten(z).mean(1)


def alike(pipe, density, concept):
    """Average the cosines between concepts of the first batch and of the second."""
    first, second = whitened_directions(pipe, density, concept).chunk(2)
    return cosine_similarity(first[:, None], second[None], dim=-1).mean()


def test_only_the_direction_counts_and_only_towards_what_was_shown(toy):
    mean = toy.subspace.mean
    way = toy.subspace.axes[0] * toy.covariance[0, 0].sqrt()
    other = toy.subspace.axes[1] * toy.covariance[1, 1].sqrt()
    term = Habituation(toy, (mean + 2 * way).view(1, 1, 4))
    steps = torch.stack([way, 5 * way, -way, other, way + other])
    loss = term.loss((mean + steps)[:, None])
    expected = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.5**0.5], dtype=loss.dtype)
    assert torch.allclose(loss, expected, atol=0.1)
    assert loss[0].item() == pytest.approx(loss[1].item(), abs=1e-9)


def test_it_is_the_mean_over_all_that_was_shown(toy, generator):
    z, shown = (torch.randn(3, 5, 4, generator=generator).double() for _ in range(2))
    both = Habituation(toy, shown[:2]).loss(z)
    each = [Habituation(toy, shown[i : i + 1]).loss(z) for i in range(2)]
    assert torch.allclose(both, (each[0] + each[1]) / 2)


def test_it_has_no_say_in_how_rare_a_concept_becomes(toy):
    """Along the way from the typical embedding the gradient is rarity's alone."""
    way = toy.subspace.axes[:1] + toy.subspace.axes[1:2]
    z = (toy.subspace.mean + 4 * way).view(1, 1, 4).requires_grad_()
    objective = Rarity(toy, 30.0) + 40 * Habituation(toy, z.detach() + toy.subspace.axes[0])
    (both,) = torch.autograd.grad(objective(z).total.sum(), z)
    (alone,) = torch.autograd.grad(Rarity(toy, 30.0)(z).total.sum(), z)
    assert ((both - alone) @ way[0]).abs().max() < 1e-6 < (both - alone).abs().max()


def test_one_batch_is_an_ordinary_run(pipe, density):
    plain = steer(pipe, "pet", density, CONFIG, seed=3)
    alone = steer_in_turn(pipe, "pet", density, CONFIG, NO_HABITUATION, seed=3)
    assert torch.equal(alone.concept.vectors, plain.concept.vectors)
    assert torch.equal(alone.surprisal, plain.surprisal) and alone.steps == plain.steps


def test_the_first_batch_is_the_ordinary_run(pipe, density, shown_twice):
    plain = steer(pipe, "pet", density, CONFIG)
    assert len(shown_twice.concept) == 4 and shown_twice.passed.shape == (4,)
    assert torch.equal(shown_twice.concept.vectors[:2], plain.concept.vectors)
    assert torch.equal(shown_twice.surprisal[:2], plain.surprisal)


def test_the_second_batch_goes_another_way(pipe, density, shown_twice):
    unmoved = steer_in_turn(pipe, "pet", density, CONFIG, replace(TWICE, weight=0.0))
    before = alike(pipe, density, unmoved.concept)
    assert alike(pipe, density, shown_twice.concept) < before - 0.1
    spread = [
        torch.pdist(whitened_directions(pipe, density, each.concept)).mean()
        for each in (unmoved, shown_twice)
    ]
    assert spread[1] > spread[0]


def test_the_aim_stays_in_units_of_the_first_density(pipe, density, shown_twice):
    assert shown_twice.target == rarity_target(density, CONFIG.dial)
    assert torch.equal(shown_twice.density.fit_surprisal, density.fit_surprisal)
    *_, last = iter_in_turn(pipe, "pet", density, CONFIG, TWICE)
    found = [*last.found, last.state]
    assert len(found) == 2
    median = density.surprisal(last.state.step.z).median(1).values
    arrived = last.state.surprisal >= shown_twice.target.stop_at
    assert torch.equal(arrived, last.state.status == 1)
    running = ~arrived
    assert torch.equal(last.state.surprisal[running], median[running])


# Never arrives, so that each batch takes all steps.
FAR = replace(CONFIG, steps=6, check_every=2, dial=1e4)


@pytest.fixture(scope="module")
def uninterrupted(pipe, density):
    return steer_in_turn(pipe, "pet", density, FAR, TWICE)


@pytest.mark.parametrize("stop_at", [3, 9])
def test_a_resumed_run_ends_at_the_same_bits(pipe, density, uninterrupted, tmp_path, stop_at):
    file = tmp_path / "run.safetensors"
    turns = iter_in_turn(pipe, "pet", density, FAR, TWICE, checkpoint=file)
    for count, _ in enumerate(turns):
        if count == stop_at:
            break
    turns.close()
    again = list(iter_in_turn(pipe, "pet", density, FAR, TWICE, checkpoint=file))
    resumed = result_of_turn(again[-1], density, FAR.dial)
    assert len(again) < 2 * FAR.steps
    assert torch.equal(resumed.concept.vectors, uninterrupted.concept.vectors)
    assert torch.equal(resumed.surprisal, uninterrupted.surprisal)
    assert resumed.steps == uninterrupted.steps


def test_a_checkpoint_depends_on_the_weight(pipe, density, tmp_path):
    file = tmp_path / "run.safetensors"
    config = replace(CONFIG, steps=1)
    steer_in_turn(pipe, "pet", density, config, TWICE, checkpoint=file)
    with pytest.raises(InputError, match="other settings"):
        other = replace(TWICE, weight=7.0)
        steer_in_turn(pipe, "pet", density, config, other, checkpoint=file)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batches", 0), ("batches", 1001), ("weight", -1.0), ("weight", float("nan"))],
)
def test_bad_settings(name, value):
    with pytest.raises(InputError, match=f"{name} is"):
        HabituationConfig(**{name: value})


def test_bad_words_are_refused_before_any_step(pipe, density):
    with pytest.raises(InputError, match="word is"):
        iter_in_turn(pipe, "", density)
    with pytest.raises(InputError, match="seed is"):
        iter_in_turn(pipe, "pet", density, seed=-1)

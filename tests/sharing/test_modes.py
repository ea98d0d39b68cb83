"""Inference mode, no_grad and grad: what one call leaves behind serves every later one."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from creativelib.concept import LoraConcept, TokenConcept
from creativelib.conceptlab.constraints import Positive, TextEmbeddings, negative_term
from creativelib.conceptlab.learning import learn_concept
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.settling import settle, template_offsets
from creativelib.density import FlowDensity, GaussianDensity, MixtureDensity
from creativelib.density.base import Density
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Anchor, Rarity
from creativelib.sharing import SeededInit, normal_tensors
from creativelib.steering.guidance import guide_decoder
from creativelib.steering.recipe import steer
from creativelib.steering.settings import SteerConfig
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.unclip.prior import PriorSampling
from creativelib.world import truth
from creativelib.world.oracle import slots

MODES = {
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "grad": nullcontext,
}
GUIDED = PriorSampling(guidance=2.0, steps=2)
QUICK = SteerConfig(
    steps=2, concepts=2, samples=2, baseline_samples=64, sampling=PriorSampling(steps=2)
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=MODES.values(), ids=MODES.keys())
def mode(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return request.param


def tensors_of(value: object) -> Iterator[Tensor]:
    """Find all tensors that an object of the package holds."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, torch.nn.Module):
        yield from value.parameters()
        yield from value.buffers()
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_of(each)
    elif type(value).__module__.split(".")[0] in ("creativelib", "cachetools"):
        if hasattr(value, "items"):
            yield from tensors_of(dict(value.items()))
        yield from tensors_of(vars(value))


def use(pipe: Pipeline) -> Tensor:
    """Fill every cache of a pipeline, and return pictures."""
    cond = pipe.encode_text(["a photo of a pet"])
    z = pipe.sample_prior(cond, 2, noise=seeded(), sampling=GUIDED)
    return pipe.decode(z, generator=seeded(), guidance=2.0, steps=2)


def test_a_first_call_in_inference_mode_leaves_normal_tensors(stack):
    pipe = load(stack, "cpu")
    with torch.inference_mode():
        pictures = use(pipe)
        template_offsets(pipe, "pet", ("a {}", "a photo of a {}"), GUIDED)
    found = list(tensors_of(pipe))
    assert len(found) > 20
    assert not any(value.is_inference() for value in found)
    assert not pictures.is_inference()
    assert not template_offsets(pipe, "pet", ("a {}", "a photo of a {}"), GUIDED).is_inference()


def test_gradients_after_a_first_call_in_inference_mode(stack):
    """The gradients are those of a pipeline that never saw inference mode."""

    def gradient(pipe: Pipeline) -> Tensor:
        vectors = TokenConcept.init(pipe, "pet").vectors.requires_grad_()
        cond = pipe.encode_spliced("a photo of a pet", 5, vectors)
        z = pipe.sample_prior(cond, 2, noise=seeded(), sampling=GUIDED)
        pictures = pipe.decode(z, generator=seeded(), guidance=2.0, steps=2)
        total = z.square().sum() + pipe.encode_images(pictures[0]).sum()
        return torch.autograd.grad(total, vectors)[0]

    pipe = load(stack, "cpu")
    with torch.inference_mode():
        use(pipe)
    assert torch.equal(gradient(pipe), gradient(load(stack, "cpu")))


def test_a_pipeline_loaded_in_inference_mode_is_like_any_other(stack, pipe):
    with torch.inference_mode():
        loaded = load(stack, "cpu")
        density = GaussianDensity.fit(torch.randn(50, 16, generator=seeded()))
    results = [
        steer(each, "pet", density, QUICK, seed=1).concept.tensors["vectors"]
        for each in (loaded, pipe)
    ]
    assert torch.equal(*results)


def test_sampling_is_the_same_in_every_mode(pipe, mode):
    with mode():
        pictures = use(pipe)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert torch.is_grad_enabled() == (mode is nullcontext)
    assert torch.equal(pictures, use(pipe))
    assert not pictures.requires_grad


def test_no_grad_builds_no_graph(pipe):
    vectors = TokenConcept.init(pipe, "pet").vectors.requires_grad_()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            cond = pipe.encode_spliced("a photo of a pet", 5, vectors)
            assert not cond.tokens.requires_grad
            assert not pipe.sample_prior(cond, 1, noise=seeded(), sampling=GUIDED).requires_grad


def test_optimizing_is_the_same_in_every_mode(pipe, mode):
    density = GaussianDensity.fit(torch.randn(50, 16, generator=seeded()))

    def run() -> list[Tensor]:
        objective = Rarity(density) + Anchor(pipe, "a pet")
        states = optimize(
            pipe, TokenConcept.init(pipe, "pet"), objective, steps=3, n=2, sampling=GUIDED
        )
        found = []
        for step in states:
            # Between steps the caller's own mode holds.
            assert torch.is_grad_enabled() == expected
            found += [step.concept.tensors["vectors"], step.z, step.terms.total]
        return found

    with mode():
        expected = torch.is_grad_enabled()
        found = run()
    assert not any(value.is_inference() or value.requires_grad for value in found)
    expected = True
    assert all(torch.equal(one, two) for one, two in zip(found, run(), strict=True))


def test_recipes_are_the_same_in_every_mode(pipe, mode):
    templates = ("a photo of a {}", "a {}")
    learning = LearnConfig(concepts=1, steps=2, samples=2, sampling=GUIDED, templates=templates)

    def run() -> list[Tensor]:
        steered = steer(pipe, "pet", config=QUICK, seed=1)
        learned = learn_concept(pipe, "pet", ["plant"], learning)
        settled = settle(
            pipe,
            "pet",
            learned.concept,
            [["plant"]],
            steps=1,
            samples=2,
            templates=templates,
            sampling=GUIDED,
        )
        concepts = (steered.concept, learned.concept, settled)
        return [value for concept in concepts for value in concept.tensors.values()]

    with mode():
        found = run()
    assert all(torch.equal(one, two) for one, two in zip(found, run(), strict=True))


@pytest.mark.parametrize(
    "fit",
    [
        GaussianDensity.fit,
        lambda z: MixtureDensity.fit(z, k=2),
        lambda z: FlowDensity.fit(z, steps=2),
    ],
    ids=["gaussian", "mixture", "flow"],
)
def test_densities_are_the_same_in_every_mode(fit, mode):
    z = torch.randn(60, 4, generator=seeded())

    def values(density: Density) -> tuple[Tensor, ...]:
        near = z[:5].clone().requires_grad_()
        surprisal = density.surprisal(near)
        slope = torch.autograd.grad(surprisal.sum(), near)[0]
        return surprisal, slope, density.score(z[:5]), density.whiten(z[:5])

    with mode():
        density = fit(z)
        scored = density.score(z[:5])
    found = values(density)
    assert torch.equal(scored, found[2])
    assert all(torch.equal(a, b) for a, b in zip(found, values(fit(z)), strict=True))


def test_guiding_the_decoder_is_the_same_in_every_mode(pipe, mode):
    density = GaussianDensity.fit(torch.randn(50, 16, generator=seeded()))
    z = torch.randn(1, 2, 16, generator=seeded(1))

    def run() -> Tensor:
        return guide_decoder(pipe, z, density, 30.0, generator=seeded(), steps=2)

    with mode():
        found = run()
    assert torch.equal(found, run())


def test_constraints_made_in_inference_mode_take_part_in_gradients(pipe):
    with torch.inference_mode():
        texts = TextEmbeddings(pipe)
        positive = Positive(texts("a {}", ["pet"]))
        negative = negative_term(texts, "a {}", [["plant"], []], floor=-1.0)
        lora = LoraConcept.init(pipe, "pet", 2, seeded())
    z = torch.ones(2, 1, 16, requires_grad=True)
    total = positive.loss(z) + negative.loss(z)
    (slope,) = torch.autograd.grad(total.sum(), z)
    assert slope.isfinite().all()
    assert not any(value.is_inference() for value in lora.tensors.values())


def test_tables_of_the_world_are_normal_tensors():
    """They may have been asked for before, in another mode: all are made anew."""
    truth.cache_clear()
    slots.cache_clear()
    with torch.inference_mode():
        found = [slots(), *tensors_of(truth("pet"))]
    assert not any(value.is_inference() for value in found)


def test_seeded_weights_are_those_of_the_global_seed():
    from creativelib.density.flow import build
    from creativelib.semantica.learning import build as build_unet

    def unet(_: int) -> torch.nn.Module:
        return build_unet(width=8, latent=4, size=4, channels=(32, 32), layers=1)

    for make in (build, unet):
        with SeededInit(torch.Generator().manual_seed(5)):
            found = make(3)
        torch.manual_seed(5)
        expected = make(3)
        pairs = zip(found.state_dict().values(), expected.state_dict().values(), strict=True)
        assert all(torch.equal(one, two) for one, two in pairs)


def test_normal_tensors_keep_gradients_on_or_off(mode):
    with mode():
        before = torch.is_grad_enabled()
        with normal_tensors():
            assert torch.is_grad_enabled() == before
            assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled() == before

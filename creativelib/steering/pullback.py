"""Pulling back: the VQA's check of what pictures show, and drawing what the prior still knows."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept
from ..density import Density
from ..english import check_template, fill
from ..errors import finite, whole
from ..seeds import seeded
from ..unclip.conditions import PartialStart
from ..unclip.pipeline import Pipeline
from ..vision.vqa import Vqa, is_a
from .settings import STEER_DEFAULTS, SteerConfig


def valid_share(
    pipe: Pipeline, vqa: Vqa, z: Float[Tensor, "k n d"], word: str, seed: int = 0
) -> Float[Tensor, " k"]:
    """Return the share of each concept's pictures for which the VQA answers "yes".

    This is the semantic pullback's check. The question is "is this a {word}?".
    """
    k, n, _ = z.shape
    generators = [seeded(seed + i) for i in range(k)]
    with torch.no_grad():
        pictures = pipe.decode(z, generator=generators)
        answers = vqa.ask(pictures.flatten(0, 1), is_a(word))
    return torch.tensor([answer == "yes" for answer in answers]).view(k, n).float().mean(1)


def nearest(
    z: Float[Tensor, "k m d"], density: Density, target: float, n: int
) -> Float[Tensor, "k n d"]:
    """Choose, of m embeddings of each concept, the n with surprisals nearest the target in nats."""
    order = (density.surprisal(z) - target).abs().argsort(1)[:, :n]
    return z.gather(1, order[:, :, None].expand(-1, -1, z.shape[-1]))


def draw_rare(
    pipe: Pipeline,
    concept: Concept,
    density: Density,
    target: float,
    n: int,
    template: str,
    *,
    generator: torch.Generator,
    config: SteerConfig = STEER_DEFAULTS,
) -> Float[Tensor, "k n d"]:
    """Draw n embeddings of each steered concept near the target in nats, pulled back by the prior.

    See `SteerConfig.candidates` and `SteerConfig.pullback`. Raises InputError for a bad number or
    template.
    """
    whole("n", n, 1)
    finite("target", target)
    check_template(template)
    z = concept.sample(
        pipe, template, n * config.candidates, noise=generator, sampling=config.sampling
    )
    # Chosen before they are pulled back: chosen after, they would be those that hardly move.
    z = nearest(z, density, target, n)
    return pull_back(pipe, concept, z, template, generator=generator, config=config)


def pull_back(
    pipe: Pipeline,
    concept: Concept,
    z: Float[Tensor, "k n d"],
    template: str,
    *,
    generator: torch.Generator,
    config: SteerConfig = STEER_DEFAULTS,
) -> Float[Tensor, "k n d"]:
    """Noise embeddings of concepts and denoise them for the plain word; `SteerConfig.pullback`."""
    if not config.pullback:
        return z
    cond = pipe.encode_text([fill(template, concept.word)] * len(concept))
    return pipe.sample_prior(
        cond,
        z.shape[1],
        noise=generator,
        sampling=replace(config.sampling, steps=config.pullback_steps),
        start=PartialStart(z, config.pullback),
    )

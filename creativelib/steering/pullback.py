"""The semantic pullback: decode a few pictures and ask a VQA whether they still show what they are meant to."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept
from ..density import Density
from ..unclip.conditions import PartialStart
from ..unclip.pipeline import Pipeline
from ..vision.vqa import Vqa, is_a
from .settings import STEER_DEFAULTS, SteerConfig


def valid_share(
    pipe: Pipeline, vqa: Vqa, z: Float[Tensor, "k n d"], word: str, seed: int = 0
) -> Float[Tensor, " k"]:
    """The share of a concept's embeddings whose picture the VQA says yes to, asked "is this a {word}?"."""
    k, n, _ = z.shape
    with torch.no_grad():
        pictures = pipe.decode(
            z, generator=[torch.Generator().manual_seed(seed + i) for i in range(k)]
        )
        answers = vqa.ask(pictures.flatten(0, 1), is_a(word))
    return torch.tensor([answer == "yes" for answer in answers]).view(k, n).float().mean(1)


def nearest(
    z: Float[Tensor, "k m d"], density: Density, target: float, n: int
) -> Float[Tensor, "k n d"]:
    """Of m embeddings drawn from each concept, the n whose surprisal lies nearest the target in nats."""
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
    """Draw n embeddings of each steered concept near the target in nats, pulled back to what the prior knows; see `SteerConfig`."""
    z = concept.sample(
        pipe, template, n * config.candidates, noise=generator, sampling=config.sampling
    )
    # Chosen before they are pulled back: chosen after, they would be those that would not be pulled.
    z = nearest(z, density, target, n)
    if not config.pullback:
        return z
    plain = pipe.encode_text([template.format(concept.word)] * len(concept))
    return pipe.sample_prior(
        plain,
        n,
        noise=generator,
        start=PartialStart(z, config.pullback),
        sampling=replace(config.sampling, steps=config.pullback_steps),
    )

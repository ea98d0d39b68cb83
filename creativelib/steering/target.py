"""Where steering goes: the density of what is typical, the target beyond it, the floor of the anchor."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cosine_similarity

from ..density import Density, GaussianDensity
from ..unclip.pipeline import Pipeline
from .settings import STEER_DEFAULTS, TAIL, SteerConfig


@dataclass(frozen=True)
class Target:
    """Surprisals in nats: where the pull leads, and where a concept has gone far enough."""

    surprisal: float
    stop_at: float


def fit_baseline(
    pipe: Pipeline, prompt: str, config: SteerConfig = STEER_DEFAULTS
) -> GaussianDensity:
    """The density of what the prior usually makes of a prompt: what a viewer has already seen.

    Always drawn with the same seed: it stands for the model and belongs to no run.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        z = pipe.sample_prior(
            pipe.encode_text([prompt]),
            config.baseline_samples,
            noise=generator,
            sampling=config.sampling,
        )
    return GaussianDensity.fit(z, pca=config.pca)


def rarity_target(density: Density, dial: float) -> Target:
    """Where the dial points. The goal lies half way from the baseline's 99th percentile to the target, or at a target below that."""
    typical = density.quantile(0.5)
    tail = density.quantile(TAIL)
    target = typical + dial * (tail - typical)
    return Target(target, min(target, (tail + target) / 2))


def anchor_floor(pipe: Pipeline, prompt: str, config: SteerConfig = STEER_DEFAULTS) -> float:
    """The cosine to the prompt's text below which an embedding is pulled back: `config.floor` of the way from the median of what the prior
    makes of the empty prompt to the median of what it makes of this one. Thresholds taken from another CLIP would mean nothing here."""
    z = pipe.sample_prior(
        pipe.encode_text([prompt, ""]),
        64,
        noise=torch.Generator().manual_seed(0),
        sampling=config.sampling,
    )
    near, far = (
        cosine_similarity(z, pipe.encode_text([prompt]).pooled[0].float(), dim=-1)
        .median(1)
        .values.tolist()
    )
    return far + config.floor * (near - far)

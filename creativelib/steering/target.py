"""Where steering goes: the density of typical samples, a target beyond them, the anchor's floor."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cosine_similarity

from ..density import Density, GaussianDensity
from ..errors import finite
from ..seeds import seeded
from ..unclip.pipeline import Pipeline
from .settings import STEER_DEFAULTS, TAIL, SteerConfig

# Samples that the anchor's floor is read off.
FLOOR_SAMPLES = 64


@dataclass(frozen=True)
class Target:
    """Surprisals in nats."""

    # Where the pull leads.
    surprisal: float
    # Where a concept has gone far enough.
    stop_at: float


def fit_baseline(
    pipe: Pipeline, prompt: str, config: SteerConfig = STEER_DEFAULTS
) -> GaussianDensity:
    """Fit the density of what the prior typically draws for a prompt: what a viewer has seen.

    Always drawn with the same seed: it stands for the model and belongs to no run.
    """
    generator = seeded(0)
    cond = pipe.encode_text([prompt])
    with torch.no_grad():
        z = pipe.sample_prior(
            cond, config.baseline_samples, noise=generator, sampling=config.sampling
        )
    return GaussianDensity.fit(z, pca=config.pca)


def rarity_target(density: Density, dial: float) -> Target:
    """Turn the dial into a target.

    A concept may stop half way from the baseline's 99th percentile to the target, or at a target
    below that percentile. Raises InputError for a dial that is not a finite number.
    """
    finite("dial", dial)
    typical = density.quantile(0.5)
    tail = density.quantile(TAIL)
    surprisal = typical + dial * (tail - typical)
    return Target(surprisal, stop_at=min(surprisal, (tail + surprisal) / 2))


def anchor_floor(pipe: Pipeline, prompt: str, config: SteerConfig = STEER_DEFAULTS) -> float:
    """Return the cosine to the prompt's text below which an embedding is pulled back.

    It lies `config.floor` of the way from the median cosine of what the prior draws for the empty
    prompt to that of what it draws for this one. Thresholds taken from another CLIP would mean
    nothing here.
    """
    cond = pipe.encode_text([prompt, ""])
    generator = seeded(0)
    z = pipe.sample_prior(cond, FLOOR_SAMPLES, noise=generator, sampling=config.sampling)
    text = pipe.encode_text([prompt]).pooled[0].float()
    near, far = cosine_similarity(z, text, dim=-1).median(1).values.tolist()
    return far + config.floor * (near - far)

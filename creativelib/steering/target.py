"""Where steering goes: the density of typical samples, a target beyond them, the anchor's floor."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..density import Density, GaussianDensity
from ..errors import InputError, finite
from ..seeds import seeded
from ..unclip.pipeline import Pipeline
from .settings import STEER_DEFAULTS, TAIL, SteerConfig

# Samples that the anchor's floor is read off.
FLOOR_SAMPLES = 64
# How near a target is near enough, in units of the dial.
NEAR = 0.02


@dataclass(frozen=True)
class Target:
    """Surprisals in nats."""

    # Where the pull leads.
    surprisal: float
    # Where a concept that began below has gone far enough.
    stop_at: float

    def reached(
        self, surprisal: Float[Tensor, " k"], began: Float[Tensor, " k"]
    ) -> Bool[Tensor, " k"]:
        """Say which concepts have gone far enough from where they began, on either side.

        From above, that is as far beyond the target as `stop_at` lies before it.
        """
        from_above = 2 * self.surprisal - self.stop_at
        return torch.where(
            began < self.surprisal, surprisal >= self.stop_at, surprisal <= from_above
        )


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

    On the dial 0 is the median surprisal of typical samples and 1 their 99th percentile. Below 0
    lies what is more typical than the median. A concept may stop half way from the 99th percentile
    to a target beyond it, or else NEAR the target: the pull ebbs away there, and some would never
    quite arrive.

    Raises InputError for a dial that is not a finite number, and for one whose target lies below
    the density's least surprisal; warns as `Density.quantile` does where samples are too few.
    """
    finite("dial", dial)
    typical = density.quantile(0.5)
    tail = density.quantile(TAIL)
    surprisal = typical + dial * (tail - typical)
    least = density.least_surprisal()
    if surprisal < least:
        # Rounded up, so that it can be reached.
        lowest = math.ceil(1000 * (least - typical) / (tail - typical)) / 1000
        raise InputError(
            f"dial is {dial}, a surprisal of {surprisal:.1f} nats, and that of the most typical "
            f"embedding is {least:.1f}; expected at least {lowest}"
        )
    near = surprisal - NEAR * (tail - typical)
    return Target(surprisal, stop_at=min(near, (tail + surprisal) / 2))


def dial_of(density: Density, surprisal: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Turn surprisals in nats into units of the dial: the inverse of `rarity_target`."""
    typical = density.quantile(0.5)
    return (surprisal - typical) / (density.quantile(TAIL) - typical)


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

"""CADS: the prompt's condition begins as noise and clears up while sampling.

    z = condition_annealing(pipe, "pet", 16, generator=g)   # (16, d)

Source: Sadat et al., ICLR 2024, arXiv 2310.17347. There it noises the text's tokens for a network
that denoises latents of pictures. Here the prior is sampled, and it sees the prompt twice, as
tokens and as one pooled embedding; both are noised. Scales are counted in standard deviations of
what is noised, since the two have different ones.
"""

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ...english import clean_word
from ...errors import MOST, InputError, whole, within
from ...unclip.conditions import TextCondition
from ...unclip.pipeline import Pipeline
from ...unclip.prior import PriorSampling
from ..baselines import photo

# Chosen by how many of 16 pets and 16 buildings were valid and novel. With the usual settings for
# text, a time of 0.6 and all of the rescaled copy, hardly more were novel than without noise.
SCALE = 0.25
CLEAR = 0.3
RESCALED = 0.0


def condition_annealing(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    scale: float = SCALE,
    clear: float = CLEAR,
    blind: float = 0.9,
    rescaled: float = RESCALED,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings of the prompt whose condition is annealed.

    scale: the paper's s, in standard deviations of the condition. 0 adds no noise and leaves the
        condition as it is.
    clear, blind: tau_1 and tau_2, times that run from 1 (noise) to 0: up to `clear` the condition
        is the prompt's own, from `blind` on it is nothing but noise.
    rescaled: psi, the share of a copy with the prompt's own mean and standard deviation.

    Raises InputError for settings out of range and unless clear is below blind.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    within("scale", scale, 0, MOST)
    within("clear", clear, 0, 1)
    within("blind", blind, 0, 1)
    within("rescaled", rescaled, 0, 1)
    if not clear < blind:
        raise InputError(f"clear is {clear} with blind {blind}; expected less than blind")
    cond = pipe.encode_text([photo(word)])
    # One condition for each sample, since each has noise of its own.
    each = replace(
        cond,
        pooled=cond.pooled.expand(n, -1),
        tokens=cond.tokens.expand(n, -1, -1),
        mask=cond.mask.expand(n, -1),
    )
    noised = partial(add_noise, scale=scale, rescaled=rescaled, generator=generator)

    def condition_fn(cond: TextCondition, progress: float) -> TextCondition:
        gamma = clarity(1 - progress, clear, blind)
        if gamma == 1 or scale == 0:
            return cond
        return replace(cond, pooled=noised(cond.pooled, gamma), tokens=noised(cond.tokens, gamma))

    z = pipe.sample_prior(each, 1, noise=generator, sampling=sampling, condition_fn=condition_fn)
    return z[:, 0]


def clarity(time: float, clear: float, blind: float) -> float:
    """Return gamma, the share of the prompt in its condition's variance (the paper's schedule).

    >>> [round(clarity(time, 0.6, 0.9), 2) for time in (1, 0.8, 0.75, 0.6, 0)]
    [0.0, 0.33, 0.5, 1.0, 1.0]
    """
    return min(1.0, max(0.0, (blind - time) / (blind - clear)))


def add_noise(
    values: Float[Tensor, "k *s"],
    gamma: float,
    *,
    scale: float,
    rescaled: float,
    generator: torch.Generator,
) -> Float[Tensor, "k *s"]:
    """Noise k conditions, each with noise of its own, as the paper does."""
    axes = tuple(range(1, values.ndim))
    mean = values.mean(axes, keepdim=True)
    std = values.std(axes, keepdim=True)
    noise = torch.randn(values.shape, generator=generator, device=generator.device).to(values)
    noised = gamma**0.5 * values + scale * (1 - gamma) ** 0.5 * std * noise
    own_mean = noised.mean(axes, keepdim=True)
    own_std = noised.std(axes, keepdim=True)
    copy = (noised - own_mean) / own_std * std + mean
    return rescaled * copy + (1 - rescaled) * noised

"""Samples of one batch that keep away from each other: particle guidance, and SPELL.

    z = particle_guidance(pipe, "pet", 16, generator=g)   # (16, d)
    z = sparse_repellency(pipe, "pet", 16, generator=g)

Both move each step's prediction of the clean embeddings. Their papers denoise latents of pictures;
here the prior denoises an embedding of CLIP, in which likeness is measured without another network.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ...english import clean_word
from ...errors import MOST, whole, within
from ...unclip.pipeline import Pipeline
from ...unclip.prior import PriorSampling
from ..baselines import photo

# Chosen with 16 pets and 16 buildings: the largest of those tried that left all of them valid.
STRENGTH = 0.3
RADIUS = 0.6


def particle_guidance(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    strength: float = STRENGTH,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings of the prompt that repel each other by the gradient of a kernel.

    The potential is minus the sum of Gaussian kernels of all pairs, whose width follows from the
    median distance. A strength of 0 is plain sampling. Raises InputError for one below 0.

    Source: Corso et al., ICLR 2024, arXiv 2310.13102. There the gradient, times a constant, is
    added to the score while the noise outweighs the signal, which moves the clean prediction by
    sigma^2 times it. Here that factor is the kernel's squared width times `strength`, which thus
    has no unit, and falls evenly to 0 at the last step.
    """

    def push(x0_pred: Tensor, progress: float) -> Tensor:
        squared = squared_widths(x0_pred)
        step = squared[..., None] * potential_gradient(x0_pred, squared)
        return x0_pred + strength * (1 - progress) * step

    within("strength", strength, 0, MOST)
    return _draw(pipe, word, n, generator, sampling, push if strength > 0 else None)


def sparse_repellency(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    radius: float = RADIUS,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings of the prompt, moved apart only where two come too near (SPELL).

    Whatever lies within a radius of others is moved away from each of them as far as to the
    radius, until the last step. `radius` is a share of the embeddings' mean norm. A radius of 0 is
    plain sampling. Raises InputError for one below 0.

    Source: Kirchhof et al., ICML 2025, arXiv 2410.06025, within one batch. There the radius is
    absolute, and earlier batches and protected pictures can repel, too.
    """

    def push(x0_pred: Tensor, progress: float) -> Tensor:
        return x0_pred if progress >= 1 else x0_pred + repellency(x0_pred, radius)

    within("radius", radius, 0, MOST)
    return _draw(pipe, word, n, generator, sampling, push if radius > 0 else None)


def squared_widths(z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n"]:
    """Return each sample's squared kernel width: its median squared distance over log n.

    So the kernels of all others together weigh about 1 (Liu and Wang, arXiv 1608.04471). The
    released code of particle guidance has log(n - 1), which two samples leave without a width.
    """
    n = z.shape[1]
    if n < 2:
        return torch.ones_like(z[..., 0])
    distances = _differences(z).norm(dim=-1)
    others = distances[:, ~torch.eye(n, dtype=torch.bool, device=z.device)].unflatten(1, (n, -1))
    return (others.median(2).values.square() / math.log(n)).clamp_min(1e-12)


def potential_gradient(
    z: Float[Tensor, "k n d"], squared: Float[Tensor, "k n"]
) -> Float[Tensor, "k n d"]:
    """Return the gradient of each sample's potential, minus its kernels with all others."""
    away = _differences(z)
    kernel = (-away.square().sum(3) / squared[..., None]).exp()
    return 2 * (kernel[..., None] * away).sum(2) / squared[..., None]


def repellency(z: Float[Tensor, "k n d"], radius: float) -> Float[Tensor, "k n d"]:
    """Return the move of each sample away from all others of its group that are too near."""
    reach = radius * z.norm(dim=2).mean()
    away = _differences(z)
    distance = away.norm(dim=3, keepdim=True).clamp_min(1e-12)
    return ((reach / distance - 1).clamp_min(0) * away).sum(2)


def _differences(z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n n d"]:
    """Return z_i - z_j."""
    return z[:, :, None] - z[:, None]


def _draw(
    pipe: Pipeline,
    word: str,
    n: int,
    generator: torch.Generator,
    sampling: PriorSampling,
    push: Callable[[Tensor, float], Tensor] | None,
) -> Float[Tensor, "n d"]:
    word = clean_word("word", word)
    whole("n", n, 1)
    cond = pipe.encode_text([photo(word)])
    return pipe.sample_prior(cond, n, noise=generator, sampling=sampling, denoised_fn=push)[0]

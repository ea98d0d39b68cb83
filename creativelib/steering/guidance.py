"""Steering while sampling, without optimizing anything.

    z = guide_prior(pipe, pipe.encode_text(["a photo of a pet"]), 16, density, target, generator=g)
    pictures = pipe.decode(z, generator=g)

Each step's x0_pred is pushed towards rarity; then noise is added again, and the model's own
denoiser pulls it back to what it knows (the guidance form of Song and Elgammal's method, arXiv
2601.22125). The target is a surprisal in nats, as in `target.rarity_target`: the same dial as
steering by optimization.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..density import Density
from ..errors import MOST, finite, one_of, whole, within
from ..fitting.precision import to_float64
from ..sharing import gradients
from ..unclip.conditions import PartialStart, TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import DenoisedFn, Generators, PriorSampling, ResampleFn
from .search import reach

# Strength of the push as a function of progress from noise (0) to the end (1). Nothing is pushed at
# the last step, so that the denoiser has the last word.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "rising": lambda progress: progress,
    "falling": lambda progress: 1.0 - progress,
    "middle": lambda progress: 4 * progress * (1 - progress),
}
# How near its goal a move has to end, as a share of the way.
CLOSE = 0.01
# Largest root mean square of a push on latents, which have unit scale: to first order a rare
# picture is a few wild pixels away.
MAX_PUSH_RMS = 0.1


def move_to_surprisal(
    density: Density, z: Float[Tensor, "*b d"], target: float, share: float = 1.0
) -> Float[Tensor, "*b d"]:
    """Move embeddings so that their surprisal closes a share of the way to a target in nats.

    The move is straight, along the gradient in whitened coordinates, so that a step counts in
    standard deviations and stays in the density's subspace: the plain gradient would point out of
    it, where the variance is least and pictures break soonest. There a Gaussian's surprisal has the
    second derivative 1, so a step of length a adds slope * a + a^2 / 2 nats. Where that misses the
    goal by more than CLOSE of the way, as it does for other densities, a line search finds it. A
    goal below all that lies on the path ends at the lowest: for a Gaussian, at its mean.
    """
    space = density.subspace
    score = to_float64(density.score(z))
    axes = space.axes.to(score.device)
    deviations = space.variances.sqrt().to(score.device)
    # Of the surprisal, in nats per standard deviation.
    slope = -(score @ axes.T) * deviations
    length = slope.norm(dim=-1).clamp_min(1e-6)
    before = to_float64(density.surprisal(z))
    gap = share * (target - before)
    step = (length.square() + 2 * gap).clamp_min(0).sqrt() - length

    def moved(step: Tensor) -> Tensor:
        return z + ((step / length)[..., None] * slope * deviations @ axes).to(z)

    def excess(scale: Tensor) -> Tensor:
        gone = to_float64(density.surprisal(moved(scale * step))) - before
        return gap.sign() * (gone - gap)

    with torch.no_grad():
        scale = reach(excess, -gap.abs(), CLOSE * gap.abs())
    return moved(scale * step)


def rarity_denoised_fn(
    density: Density, target: float, strength: float = 1.0, schedule: str = "constant"
) -> DenoisedFn:
    """Return the `denoised_fn` that steers a prior.

    Raises InputError for an unknown schedule, a strength below 0, and a target that is not finite.
    """
    _check(target, strength, schedule)

    def denoised_fn(x0_pred: Tensor, progress: float) -> Tensor:
        if progress >= 1:
            return x0_pred
        share = strength * SCHEDULES[schedule](progress)
        return move_to_surprisal(density, x0_pred, target, share)

    return denoised_fn


def guide_prior(
    pipe: Pipeline,
    cond: TextCondition,
    n: int,
    density: Density,
    target: float,
    *,
    generator: Generators,
    strength: float = 1.0,
    schedule: str = "constant",
    sampling: PriorSampling = PriorSampling(steps=10),
    start: PartialStart | None = None,
) -> Float[Tensor, "k n d"]:
    """Draw n rare image embeddings for each of k prompts.

    target: a surprisal in nats.
    strength: 1 closes the whole gap at each step, and the denoiser takes a part of it back.
    start: start at given embeddings, such as a picture's.
    """
    return pipe.sample_prior(
        cond,
        n,
        noise=generator,
        sampling=sampling,
        denoised_fn=rarity_denoised_fn(density, target, strength, schedule),
        start=start,
    )


def survivors(density: Density, target: float, branches: int) -> ResampleFn:
    """Return the `resample_fn` that splits.

    Of each family of `branches` neighboring samples, the one nearest the target in nats replaces
    all. Not at the last step, after which copies would stay copies.
    """

    def resample_fn(x0_pred: Tensor, progress: float) -> Tensor:
        k, n, _ = x0_pred.shape
        device = x0_pred.device
        if progress >= 1:
            return torch.arange(n, device=device).expand(k, n)
        distance = (density.surprisal(x0_pred) - target).abs()
        best = distance.view(k, n // branches, branches).argmin(2)
        first = torch.arange(0, n, branches, device=device)
        return (best + first).repeat_interleave(branches, 1)

    return resample_fn


def split_prior(
    pipe: Pipeline,
    cond: TextCondition,
    n: int,
    density: Density,
    target: float,
    *,
    generator: Generators,
    branches: int = 8,
    sampling: PriorSampling = PriorSampling(steps=6),
    start: PartialStart | None = None,
) -> Float[Tensor, "k n d"]:
    """Draw n rare image embeddings for each of k prompts by splitting instead of pushing.

    Every sample is a family of `branches`. At each step the member nearest the target continues and
    replaces the others, and new noise drives the copies apart; at the end the nearest is taken.
    With `start` each family begins at one of n embeddings. Few steps fall short of the target, ten
    hardly do. Every choice is among the prior's own samples, and nothing needs a gradient.

    Splitting is an old way to sample rare events (Cerou and Guyader, 2007); with diffusion models
    it is known as Feynman-Kac steering (arXiv 2501.06848). Raises InputError unless branches and n
    are at least 1 and the target is finite.
    """
    whole("branches", branches, 1)
    whole("n", n, 1)
    finite("target", target)
    if start is not None:
        families = start.z.expand(-1, n, -1).repeat_interleave(branches, 1)
        start = PartialStart(families, start.strength)
    z = pipe.sample_prior(
        cond,
        n * branches,
        noise=generator,
        sampling=sampling,
        resample_fn=survivors(density, target, branches),
        start=start,
    )
    families = z.unflatten(1, (n, branches))
    best = (density.surprisal(families) - target).abs().argmin(2)
    return families.gather(2, best[:, :, None, None].expand(-1, -1, 1, z.shape[-1]))[:, :, 0]


def guide_decoder(
    pipe: Pipeline,
    z: Float[Tensor, "k n d"],
    density: Density,
    target: float,
    *,
    generator: Generators,
    strength: float = 1.0,
    schedule: str = "constant",
    guidance: float | None = None,
    steps: int | None = None,
) -> Float[Tensor, "k n 3 h w"]:
    """Decode embeddings while pushing the pictures to be rare.

    At each step the predicted clean latents become a picture, CLIP embeds it, the density judges
    it, and the latents move along the gradient so that the surprisal closes a share of its gap to
    the target. The gradient passes the autoencoder and CLIP, not the denoiser.

    Raises InputError for an unknown schedule, a strength below 0, and a target that is not finite.
    """
    _check(target, strength, schedule)

    def denoised_fn(latents: Tensor, progress: float) -> Tensor:
        if progress >= 1:
            return latents
        share = strength * SCHEDULES[schedule](progress)
        return _push_latents(pipe, latents, density, target, share)

    return pipe.decode(
        z, generator=generator, guidance=guidance, steps=steps, denoised_fn=denoised_fn
    )


def _push_latents(
    pipe: Pipeline,
    latents: Float[Tensor, "k n m h w"],
    density: Density,
    target: float,
    share: float,
) -> Float[Tensor, "k n m h w"]:
    with gradients():
        moving = latents.detach().clone().requires_grad_()
        embeddings = pipe.encode_images(pipe.render_latents(moving.flatten(0, 1)))
        surprisal = density.surprisal(embeddings).view(latents.shape[:2])
        (slope,) = torch.autograd.grad(surprisal.sum(), moving)
    length = slope.flatten(2).norm(dim=-1)
    step = share * (target - surprisal.detach()) / length.clamp_min(1e-6)
    longest = MAX_PUSH_RMS * latents[0, 0].numel() ** 0.5
    scale = step.clamp(-longest, longest) / length.clamp_min(1e-6)
    return latents + scale[..., None, None, None] * slope


def _check(target: float, strength: float, schedule: str) -> None:
    finite("target", target)
    within("strength", strength, 0, MOST)
    one_of("schedule", schedule, SCHEDULES)

"""Steering while sampling, without optimising anything: what a step predicts to be clean is pushed towards rarity, then noise is added
again and the model's own denoiser pulls it back to what it knows (the guidance form of Song and Elgammal's method).

    z = guide_prior(pipe, pipe.encode_text(["a photo of a pet"]), 16, density, target, generator=g)
    pictures = pipe.decode(z, generator=g)

The aim is a surprisal in nats, as in `recipes.aim`: the same dial as steering by optimisation.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..density import Density
from ..errors import InputError, at_least
from ..unclip.conditions import PartialStart, TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import DenoisedFn, Generators, PriorSampling, ResampleFn

# How strong the push is along the way from noise (0) to the end (1). All end before the last step, so that the denoiser has the last word.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "rising": lambda done: done,
    "falling": lambda done: 1.0 - done,
    "middle": lambda done: 4 * done * (1 - done),
}
# Root mean square of a push on latents, which have unit scale, at most: to first order a rare picture is a few wild pixels away.
MAX_PUSH_RMS = 0.1


def move_to_surprisal(
    density: Density, z: Float[Tensor, "*b d"], target: float, share: float = 1.0
) -> Float[Tensor, "*b d"]:
    """Move embeddings so that their surprisal closes a share of the way to a target in nats; for a Gaussian exactly, but for
    its shrinkage, and no further than its mean.

    Along the gradient in whitened coordinates, so that a step counts in standard deviations and stays in the density's subspace: the plain
    gradient would point out of it, where the variance is least and pictures break soonest. There a Gaussian's surprisal has the second
    derivative 1, so a step of length a adds slope * a + a^2 / 2 nats; other densities are treated as if they had.
    """
    space = density.subspace
    axes = space.axes.to(z.device)
    deviations = space.variances.sqrt().to(z.device)
    slope = (
        -(density.score(z).to(axes) @ axes.T) * deviations
    )  # of the surprisal, in nats for a standard deviation
    length = slope.norm(dim=-1).clamp_min(1e-6)
    wanted = share * (target - density.surprisal(z).to(axes))
    step = (length.square() + 2 * wanted).clamp_min(0).sqrt() - length
    return z + ((step / length)[..., None] * slope * deviations @ axes).to(z)


def rarity_denoised_fn(
    density: Density, target: float, strength: float = 1.0, schedule: str = "constant"
) -> DenoisedFn:
    """What `Pipeline.sample_prior` is given to steer a prior. Raises InputError for an unknown schedule and a strength below 0."""
    _check(strength, schedule)

    def edit(z: Tensor, done: float) -> Tensor:
        return (
            z
            if done >= 1
            else move_to_surprisal(density, z, target, strength * SCHEDULES[schedule](done))
        )

    return edit


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
    """Draw n rare image embeddings of each of k prompts. `target` is a surprisal in nats; `strength` 1 closes the whole gap at each step,
    and the denoiser takes a part of it back. With `start` the way begins at given embeddings, such as a picture's."""
    edit = rarity_denoised_fn(density, target, strength, schedule)
    return pipe.sample_prior(
        cond, n, noise=generator, denoised_fn=edit, start=start, sampling=sampling
    )


def survivors(density: Density, target: float, branches: int) -> ResampleFn:
    """What `Pipeline.sample_prior` is given to split: of each family of `branches` samples that lie side by side, the one nearest the
    target in nats goes on, as all of them. Not at the last step, after which copies would stay copies."""

    def select(z: Tensor, done: float) -> Tensor:
        k, n, _ = z.shape
        if done >= 1:
            return torch.arange(n, device=z.device).expand(k, n)
        best = (density.surprisal(z) - target).abs().view(k, n // branches, branches).argmin(2)
        return (best + torch.arange(0, n, branches, device=z.device)).repeat_interleave(branches, 1)

    return select


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
    """Draw n rare image embeddings of each of k prompts by splitting instead of pushing: every sample is a family of `branches`.

    At each step the member of a family that is nearest the target goes on and the others are replaced by copies of it, which new noise
    drives apart; at the end the nearest is taken. With `start` each family begins at one of n embeddings. Few steps fall short of the
    target, ten hardly do. All that is chosen was drawn by the prior, and nothing needs a gradient. Splitting is an old way to sample rare
    events (Cerou and Guyader, 2007); with diffusion models it is known as Feynman-Kac steering (arXiv 2501.06848).
    Raises InputError unless branches >= 1.
    """
    at_least("branches", branches, 1)
    if start is not None:
        start = PartialStart(
            start.z.expand(-1, n, -1).repeat_interleave(branches, 1), start.strength
        )
    z = pipe.sample_prior(
        cond,
        n * branches,
        noise=generator,
        start=start,
        resample_fn=survivors(density, target, branches),
        sampling=sampling,
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
    """Decode embeddings while pushing the pictures to be rare: at each step the predicted clean latents become a picture, CLIP embeds it,
    the density judges it, and the latents move along the gradient so that the surprisal closes a share of its gap to the target.

    The gradient passes the autoencoder and CLIP, not the denoiser. Raises InputError for an unknown schedule and a strength below 0.
    """
    _check(strength, schedule)

    def edit(latents: Tensor, done: float) -> Tensor:
        return (
            latents
            if done >= 1
            else _push_latents(pipe, latents, density, target, strength * SCHEDULES[schedule](done))
        )

    return pipe.decode(z, generator=generator, guidance=guidance, steps=steps, denoised_fn=edit)


def _push_latents(
    pipe: Pipeline,
    latents: Float[Tensor, "k n m h w"],
    density: Density,
    target: float,
    share: float,
) -> Float[Tensor, "k n m h w"]:
    with torch.enable_grad():
        moving = latents.detach().requires_grad_()
        surprisal = density.surprisal(
            pipe.encode_images(pipe.render_latents(moving.flatten(0, 1)))
        ).view(latents.shape[:2])
        (slope,) = torch.autograd.grad(surprisal.sum(), moving)
    length = slope.flatten(2).norm(dim=-1)
    step = share * (target - surprisal.detach()) / length.clamp_min(1e-6)
    longest = MAX_PUSH_RMS * latents[0, 0].numel() ** 0.5
    return (
        latents
        + (step.clamp(-longest, longest) / length.clamp_min(1e-6))[..., None, None, None] * slope
    )


def _check(strength: float, schedule: str) -> None:
    if schedule not in SCHEDULES:
        raise InputError(f"schedule is {schedule!r}; expected {', '.join(SCHEDULES)}")
    if strength < 0:
        raise InputError(f"strength is {strength}; expected 0 or more")

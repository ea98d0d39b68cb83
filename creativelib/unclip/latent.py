"""Edit pictures by their CLIP embedding z and the noise x_T they are decoded from.

A picture is a point of both spaces (DALL-E 2, arXiv 2204.06125, section 3).

    # z and x_T: decoding them gives the pictures back.
    inverted = ddim_inversion(pipe, pictures)
    # Keep what CLIP saw and vary the rest.
    similar = variations(pipe, inverted, 4, generator=g)
    between = interpolate(pipe, inverted, other, torch.linspace(0, 1, 5))
    # `dog` and `cat` are the text embeddings of "a photo of a dog" and "a photo of a cat".
    dogs = text_diff(inverted.z, dog, cat, 0.4)
    pipe.decode(dogs[:, None], noise=inverted.noise[:, None], guidance=1.0, generator=g)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from ..density.subspace import Subspace
from ..errors import InputError, whole
from ..pictures import check_pictures, fit_picture
from .batches import in_batches
from .decoders import PICTURE_ROWS
from .pipeline import Pipeline
from .prior import Generators
from .schedulers import with_steps

# Inversion works without guidance. Decoding with it would add a part that inversion never removed.
GUIDANCE = 1.0


@dataclass(frozen=True, eq=False)
class Inverted:
    """Embeddings and noise from which a decoder draws k given pictures."""

    # CLIP's embeddings of the pictures.
    z: Float[Tensor, "k d"]
    # x_T of unit scale, from which each embedding is decoded to its picture.
    noise: Float[Tensor, "k m h w"]


def slerp(
    a: Float[Tensor, "*#b d"], b: Float[Tensor, "*#b d"], weight: float | Float[Tensor, "*#b"]
) -> Float[Tensor, "*b d"]:
    """Interpolate from a (weight 0) to b (weight 1) on a sphere.

    Directions follow the shortest arc at constant speed; lengths change linearly.

    The arc starts at a and runs towards the part of b that is orthogonal to a (Gram-Schmidt).
    Unlike the common quotient of sines, this needs no exception for nearly parallel vectors.
    Exactly opposite vectors have no shortest arc; results for weights between 0 and 1 are then
    meaningless.

    >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]), 0.5)
    tensor([1.4142, 1.4142])
    """
    start = normalize(a, dim=-1)
    end = normalize(b, dim=-1)
    along = (start * end).sum(-1, keepdim=True)
    across = end - along * start
    share = torch.as_tensor(weight, dtype=a.dtype, device=a.device)[..., None]
    turn = share * torch.atan2(across.norm(dim=-1, keepdim=True), along)
    length = a.norm(dim=-1, keepdim=True) * (1 - share) + b.norm(dim=-1, keepdim=True) * share
    return length * (turn.cos() * start + turn.sin() * normalize(across, dim=-1))


def text_diff(
    z: Float[Tensor, "*#b d"],
    text: Float[Tensor, "*#b d"],
    base: Float[Tensor, "*#b d"],
    theta: float | Float[Tensor, "*#b"],
) -> Float[Tensor, "*b d"]:
    """Turn image embeddings towards the difference of two text embeddings, `text` - `base`.

    `theta` is the share of the arc to that direction; section 3.3 takes it from 0 to between 0.25
    and 0.5. The length of z stays the same.

    Any two embeddings may replace the texts'. Means of what a prior draws for the two texts lie
    where pictures do, and move them more surely than the texts' own embeddings.

    Raises InputError if `text` and `base` are equal.

    >>> z = torch.tensor([2.0, 0.0])
    >>> text_diff(z, text=torch.tensor([1.0, 1.0]), base=torch.tensor([1.0, 0.0]), theta=0.5)
    tensor([1.4142, 1.4142])
    """
    direction = text - base
    if not direction.any(-1).all():
        raise InputError("text equals base; expected embeddings of two different texts")
    target = normalize(direction, dim=-1) * z.norm(dim=-1, keepdim=True)
    return slerp(z, target, theta)


def best_of_two(z: Float[Tensor, "k m d"], text: Float[Tensor, "k d"]) -> Float[Tensor, "k n d"]:
    """Keep the sample of each pair of neighbors that is more similar to its text.

    Section 2.2 draws two samples and keeps the one with the larger dot product. Here the similarity
    is the cosine, because a longer embedding is not a better match.

    Raises InputError for an odd number of samples.
    """
    if z.shape[1] % 2:
        raise InputError(f"z holds {z.shape[1]} samples for each text; expected an even number")
    pairs = z.unflatten(1, (-1, 2))
    best = cosine_similarity(pairs, text[:, None, None], dim=-1).argmax(-1)
    index = best[..., None, None].expand(-1, -1, 1, z.shape[-1])
    return pairs.gather(2, index)[:, :, 0]


def pca_reconstructions(
    z: Float[Tensor, "*b d"], subspace: Subspace, components: Sequence[int]
) -> Float[Tensor, "c *b d"]:
    """Rebuild embeddings from their first principal components, once for each of c counts.

    Decoded, they show in which order the components add detail (section 3.4, figure 7). Take the
    `subspace` of a density, or fit one with `Subspace.fit`.

    Raises InputError if a count is below 0 or above the number of the subspace's components.
    """
    most = len(subspace.axes)
    for count in components:
        whole("components", count, 0, most)
    inside = subspace.project(z)
    mean = subspace.mean.to(z.device)
    axes = subspace.axes.to(z.device)
    return torch.stack([mean + inside[..., :count] @ axes[:count] for count in components]).to(z)


def with_ddim(pipe: Pipeline) -> Pipeline:
    """Return the same stack with a decoder that samples by DDIM.

    DDIM's steps are not random. The decoder's own scheduler may take random ones, as Kandinsky's
    DDPM does.
    """
    from diffusers import DDIMScheduler

    scheduler = pipe.decoder.scheduler
    # Schedulers that cannot clip latents do not say so, and DDIM clips them by default.
    config = {"clip_sample": False} | dict(scheduler.config)
    # The UnCLIPScheduler has only one beta schedule, so its config does not name it.
    if type(scheduler).__name__ == "UnCLIPScheduler":
        config["beta_schedule"] = "squaredcos_cap_v2"
    return replace(pipe, decoder=replace(pipe.decoder, scheduler=DDIMScheduler.from_config(config)))


def ddim_inversion(
    pipe: Pipeline, pictures: Float[Tensor, "k 3 h w"], *, steps: int | None = None, rounds: int = 5
) -> Inverted:
    """Find the embeddings and the noise from which pictures in [0, 1] are decoded.

    Decoding with guidance 1 and the same number of steps gives the pictures back, up to what the
    autoencoder loses. Pictures of another shape than the decoder's are resized and center-cropped.

    This is DDIM backwards (Song et al., arXiv 2010.02502, section 4.3). A step back looks for
    noisier latents whose own step forward ends at the current latents. Each of `rounds` moves the
    guess by the error of its step forward, divided by the factor by which the step scales latents
    (a fixed-point iteration, as in Pan et al., arXiv 2309.04907). One round is plain DDIM
    inversion: its noise is too weak, and decoding does not quite return to the pictures. The steps
    are the scheduler's own, so the network may predict the noise or a velocity.

    Raises InputError if rounds are below 1, for a number of steps that the scheduler cannot take,
    if the scheduler is not a DDIMScheduler, see `with_ddim`, and for pictures that are not floats
    in [0, 1].
    """
    check_pictures(pictures)
    steps = pipe.decode_defaults[1] if steps is None else steps
    whole("rounds", rounds, 1)
    scheduler = pipe.decoder.scheduler
    if type(scheduler).__name__ != "DDIMScheduler":
        raise InputError(
            f"pipe decodes with a {type(scheduler).__name__}; expected a DDIMScheduler, whose "
            "steps are not random, see with_ddim"
        )
    scheduler = with_steps(scheduler, steps, pipe.device)
    side = pipe.decoder.side
    fitted = fit_picture(pictures.to(pipe.device, torch.float32), side, side)
    z = pipe.encode_images(fitted)
    latents = pipe.encode_latents(fitted)
    to_noise = partial(_latents_to_noise, pipe, scheduler, rounds)
    return Inverted(z, in_batches(to_noise, PICTURE_ROWS, latents, z))


def _latents_to_noise(
    pipe: Pipeline,
    scheduler: Any,
    rounds: int,
    latents: Float[Tensor, "c m h w"],
    z: Float[Tensor, "c d"],
) -> Float[Tensor, "c m h w"]:
    latents = latents.to(pipe.latent_dtype)
    z = z.to(pipe.dtype)
    # Small enough that the scheduler does not clip it.
    small = torch.full_like(latents[:1], 1e-3)
    for t in scheduler.timesteps.flip(0):
        target = latents
        # The factor by which a step scales latents.
        gain = scheduler.step(torch.zeros_like(small), t, small).prev_sample / small
        for _ in range(rounds):
            output = pipe.decoder.predict(latents.to(pipe.dtype), t, z)
            # A learned variance follows the prediction. DDIM does not use it.
            output = output[:, : latents.shape[1]].to(latents)
            error = target - scheduler.step(output, t, latents).prev_sample
            latents = latents + error / gain
    return latents.float() / scheduler.init_noise_sigma


def variations(
    pipe: Pipeline,
    there: Inverted,
    n: int,
    *,
    generator: Generators,
    eta: float = 1.0,
    guidance: float = GUIDANCE,
    steps: int | None = None,
) -> Float[Tensor, "k n 3 h w"]:
    """Draw n variations of each of k pictures: same embedding, same initial noise (section 3.1).

    Each step adds new noise. The larger `eta`, the more noise, and the more the pictures differ.

    Raises InputError if n is below 1, and as `Pipeline.decode` does.
    """
    whole("n", n, 1)
    return pipe.decode(
        there.z[:, None].expand(-1, n, -1),
        noise=there.noise[:, None],
        generator=generator,
        eta=eta,
        guidance=guidance,
        steps=steps,
    )


def interpolate(
    pipe: Pipeline,
    first: Inverted,
    second: Inverted,
    weights: Float[Tensor, " s"],
    *,
    noise: Float[Tensor, "#k m h w"] | None = None,
    guidance: float = GUIDANCE,
    steps: int | None = None,
) -> Float[Tensor, "k s 3 hh ww"]:
    """Blend each of k pictures (weight 0) into its partner (weight 1), by `slerp` (section 3.2).

    By default, the noise is interpolated like the embeddings, so the ends are the two pictures. A
    given `noise` is used for all weights; the ends are then other pictures of the same embeddings.
    """
    share = weights[None].to(first.z)
    z = slerp(first.z[:, None], second.z[:, None], share)
    if noise is None:
        flat = slerp(first.noise.flatten(1)[:, None], second.noise.flatten(1)[:, None], share)
        between = flat.unflatten(2, first.noise.shape[1:])
    else:
        between = noise[:, None]
    # The noise is given and eta is 0, so nothing is drawn from it.
    unused = torch.Generator()
    return pipe.decode(z, noise=between, generator=unused, guidance=guidance, steps=steps)

"""Pictures as points of two spaces, a CLIP embedding z and the noise x_T it is decoded from, and what moves in them change (DALL-E 2,
arXiv 2204.06125, section 3).

    there = invert(pipe, pictures)                                           # z and x_T: decoding them gives the pictures back
    similar = variations(pipe, there, 4, generator=g)                        # what CLIP saw stays, what it did not varies
    between = interpolate(pipe, there, other, torch.linspace(0, 1, 5))
    dogs = text_diff(there.z, dog, cat, 0.4)                                 # embeddings of "a photo of a dog" and "a photo of a cat"
    pipe.decode(dogs[:, None], noise=there.noise[:, None], generator=g)
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from ..density.base import Subspace
from ..errors import InputError, at_least
from ..pictures import fit_picture
from .decoders import PICTURE_ROWS
from .pipeline import Pipeline
from .prior import Generators

GUIDANCE = 1.0  # as inverted: what guidance adds at every step on the way to a picture was not taken away on the way back


@dataclass(frozen=True, eq=False)
class Inverted:
    """k pictures as the decoder sees them: CLIP's embeddings, and the noise from which each embedding is decoded to its picture."""

    z: Float[Tensor, "k d"]
    noise: Float[Tensor, "k m h w"]


def slerp(
    a: Float[Tensor, "*#b d"], b: Float[Tensor, "*#b d"], weight: float | Float[Tensor, "*#b"]
) -> Float[Tensor, "*b d"]:
    """The way from a (weight 0) to b (weight 1): directions along the shortest arc at constant speed, lengths linearly.

    The arc starts at a and runs towards the part of b that is orthogonal to a (Gram-Schmidt). Unlike the usual quotient of sines this
    needs no exception for nearly parallel vectors. Exactly opposite ones have no shortest arc; weights between 0 and 1 then mean nothing.
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
    """Move image embeddings the way in which one text embedding differs from another, a share `theta` of the arc to that direction
    (section 3.3, where it goes from 0 to between 0.25 and 0.5). The length of z stays.

    Any two embeddings may take the texts' places. Means of what a prior draws for the two texts lie where pictures do, and move them more
    surely than the texts' own. Raises InputError for equal ones.
    """
    way = text - base
    if not way.any(-1).all():
        raise InputError("text equals base; expected embeddings of two different texts")
    return slerp(z, normalize(way, dim=-1) * z.norm(dim=-1, keepdim=True), theta)


def best_of_two(z: Float[Tensor, "k m d"], text: Float[Tensor, "k d"]) -> Float[Tensor, "k n d"]:
    """Of every two samples that lie side by side the one that is more like its text (section 2.2: draw two, keep the one with the larger
    dot product; here of unit vectors, for a longer embedding matches no better). Raises InputError for an odd number of samples."""
    if z.shape[1] % 2:
        raise InputError(f"z holds {z.shape[1]} samples for each text; expected an even number")
    pairs = z.unflatten(1, (-1, 2))
    best = cosine_similarity(pairs, text[:, None, None], dim=-1).argmax(-1)
    return pairs.gather(2, best[..., None, None].expand(-1, -1, 1, z.shape[-1]))[:, :, 0]


def pca_reconstructions(
    z: Float[Tensor, "*b d"], subspace: Subspace, components: Sequence[int]
) -> Float[Tensor, "c *b d"]:
    """Embeddings rebuilt from their first principal components, once for each of c numbers of them (section 3.4, figure 7): decoded, they
    show in which order of detail the components speak. A density has its `subspace`, or take `Subspace.fit`.

    Raises InputError for a number of components that the subspace does not have.
    """
    most = len(subspace.axes)
    for count in components:
        if not 0 <= count <= most:
            raise InputError(
                f"components holds {count}; expected numbers from 0 to {most}, which the subspace has"
            )
    inside = subspace.project(z)
    mean = subspace.mean.to(z.device)
    axes = subspace.axes.to(z.device)
    return torch.stack([mean + inside[..., :count] @ axes[:count] for count in components]).to(z)


def with_ddim(pipe: Pipeline) -> Pipeline:
    """The same stack, decoding by DDIM's steps, which are not random, instead of its own scheduler's, such as Kandinsky's DDPM."""
    from diffusers import DDIMScheduler

    # A learned variance is for random steps. Left in, it would be handed to DDIM as if it were a part of the noise.
    config = {
        name: value
        for name, value in pipe.decoder.scheduler.config.items()
        if name != "variance_type"
    }
    if (
        type(pipe.decoder.scheduler).__name__ == "UnCLIPScheduler"
    ):  # whose schedule has but one shape, and so no name
        config["beta_schedule"] = "squaredcos_cap_v2"
    return replace(pipe, decoder=replace(pipe.decoder, scheduler=DDIMScheduler.from_config(config)))


def ddim_inversion(
    pipe: Pipeline, pictures: Float[Tensor, "k 3 h w"], *, steps: int | None = None, rounds: int = 5
) -> Inverted:
    """What pictures in [0, 1] are decoded from: `pipe.decode(z, noise=noise, guidance=1.0, steps=steps)` gives them back, up to what the
    autoencoder loses.

    DDIM backwards (Song et al., arXiv 2010.02502, section 4.3). A step back asks for noisier latents whose own step forward ends at the
    latents there are; in each of `rounds` the guess is moved by what its step misses, over what the step makes of the latents alone (a
    fixed-point iteration, as in Pan et al., arXiv 2309.04907). One round is plain DDIM inversion: decoding does not quite return from it,
    and its noise is too weak. The steps are the scheduler's own, so the network may predict the noise or a velocity. Pictures of
    another shape than the decoder's are resized and cut to their middle.

    Raises InputError for steps and rounds below 1, and for a scheduler that is no DDIMScheduler, see `with_ddim`.
    """
    steps = pipe.decode_defaults[1] if steps is None else steps
    at_least("steps", steps, 1)
    at_least("rounds", rounds, 1)
    scheduler = copy.deepcopy(pipe.decoder.scheduler)
    if type(scheduler).__name__ != "DDIMScheduler":
        raise InputError(
            f"pipe decodes with a {type(scheduler).__name__}; expected a DDIMScheduler, whose steps are not random, see "
            "with_ddim"
        )
    scheduler.set_timesteps(steps, device=pipe.device)
    fitted = fit_picture(
        pictures.to(pipe.device, torch.float32), pipe.decoder.side, pipe.decoder.side
    )
    z = pipe.encode_images(fitted)
    latents = pipe.encode_latents(fitted)
    noise = [
        _backwards(pipe, scheduler, x, e, rounds)
        for x, e in zip(latents.split(PICTURE_ROWS), z.split(PICTURE_ROWS), strict=True)
    ]
    return Inverted(z, torch.cat(noise))


def _backwards(
    pipe: Pipeline,
    scheduler: Any,
    latents: Float[Tensor, "c m h w"],
    z: Float[Tensor, "c d"],
    rounds: int,
) -> Float[Tensor, "c m h w"]:
    latents = latents.to(pipe.latent_dtype)
    z = z.to(pipe.dtype)
    little = torch.full_like(latents[:1], 1e-3)  # too little to be clipped
    for t in scheduler.timesteps.flip(0):
        wanted = latents
        gain = scheduler.step(torch.zeros_like(little), t, little).prev_sample / little
        for _ in range(rounds):
            output = pipe.decoder.predict(latents.to(pipe.dtype), t, z)[:, : latents.shape[1]].to(
                latents
            )
            latents = latents + (wanted - scheduler.step(output, t, latents).prev_sample) / gain
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
    """n further pictures of each of k pictures' embeddings, from its own noise and with new noise at each step: the more, the larger `eta`
    (section 3.1). Raises InputError as `Pipeline.decode` does."""
    at_least("n", n, 1)
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
    """Pictures on the way from each of k pictures (weight 0) to its partner (1): `slerp` between the embeddings (section 3.2).

    The noise goes along, so that the ends are the two pictures, or is the given one all the way: then the ends are other pictures of the
    same embeddings.
    """
    share = weights[None].to(first.z)
    z = slerp(first.z[:, None], second.z[:, None], share)
    if noise is None:
        flat = slerp(first.noise.flatten(1)[:, None], second.noise.flatten(1)[:, None], share)
        between = flat.unflatten(2, first.noise.shape[1:])
    else:
        between = noise[:, None]
    still = torch.Generator()  # nothing is drawn
    return pipe.decode(z, noise=between, generator=still, guidance=guidance, steps=steps)

"""Decoders: from image embeddings to latents to pictures.

The classes hold the differences between models: Kandinsky 2.2 and the bundled model, Kandinsky 2.1,
Karlo. `sample_latents` is common to all: the loop over timesteps with guidance. Decoders that also
read a text get the empty one, as in ConceptLab's released code: the embedding alone says what to
draw.
"""

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..errors import InputError, within
from .batches import in_batches
from .schedulers import alpha_bar, check_decoder_scheduler, learns_variance, with_steps

# Pictures sent through networks at once. Bounds memory and changes no result.
PICTURE_ROWS = 32
# Steps of Karlo's super-resolution; UnCLIPPipeline's default.
SUPER_STEPS = 7
# Pictures that Karlo enlarges at once.
SUPER_ROWS = 8


@dataclass(frozen=True, eq=False)
class Decoder(ABC):
    """A denoiser of latents (m, h, w), given image embeddings.

    All methods that take tensors work on batches of c rows. Raises InputError for a scheduler that
    is not among `schedulers.SCHEDULERS` or takes a variance that the denoiser does not predict.
    """

    # The denoiser.
    unet: Any
    # The scheduler that the denoiser is sampled with.
    scheduler: Any

    def __post_init__(self) -> None:
        check_decoder_scheduler(self.scheduler)
        config = self.unet.config
        if learns_variance(self.scheduler) and config.out_channels != 2 * config.in_channels:
            raise InputError(
                f"the decoder's scheduler takes a variance of type "
                f"{self.scheduler.config.variance_type!r} from the network; expected "
                f"{2 * config.in_channels} channels of output, and the network has "
                f"{config.out_channels}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (m, h, w) of one picture's latents."""
        config = self.unet.config
        return (config.in_channels, config.sample_size, config.sample_size)

    @property
    @abstractmethod
    def side(self) -> int:
        """Side in pixels of the pictures that `encode` takes and `render` returns."""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All networks of the decoder."""
        return tuple(value for value in vars(self).values() if isinstance(value, nn.Module))

    @abstractmethod
    def predict(
        self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]
    ) -> Float[Tensor, "c o h w"]:
        """Run the denoiser on latents at timestep t.

        The output has o = m channels, or 2 m with a learned variance.
        """

    @abstractmethod
    def encode(self, pictures: Float[Tensor, "c 3 s s"]) -> Float[Tensor, "c m h w"]:
        """Turn pictures in [0, 1] into latents."""

    @abstractmethod
    def render(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 s s"]:
        """Turn latents into pictures; differentiable.

        Values may lie a little outside [0, 1].
        """

    def blank(self) -> Float[Tensor, "1 d"] | None:
        """Return the embedding that guidance leads away from, or None if none was learned."""
        return None

    def enlarge(
        self, pictures: Float[Tensor, "c 3 s s"], generator: torch.Generator | list[torch.Generator]
    ) -> Float[Tensor, "c 3 ss ss"]:
        """Enlarge rendered pictures in [0, 1]. By default they stay as they are."""
        return pictures


@dataclass(frozen=True, eq=False)
class Kandinsky22(Decoder):
    """The decoder of KandinskyV22Pipeline.

    The denoiser is conditioned on the embedding alone, and a MoVQ turns latents into pictures.
    """

    movq: Any

    @property
    def side(self) -> int:
        return self.unet.config.sample_size * 2 ** (len(self.movq.config.block_out_channels) - 1)

    def predict(
        self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]
    ) -> Float[Tensor, "c o h w"]:
        return self.unet(latents, t, None, added_cond_kwargs={"image_embeds": z}).sample

    def encode(self, pictures: Float[Tensor, "c 3 s s"]) -> Float[Tensor, "c m h w"]:
        return self.movq.encode(pictures * 2 - 1).latents

    def render(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 s s"]:
        return self.movq.decode(latents, force_not_quantize=True).sample.float() * 0.5 + 0.5


@dataclass(frozen=True, eq=False)
class Kandinsky21(Kandinsky22):
    """The decoder of KandinskyPipeline, which also reads a text, here the empty one."""

    # Embedding of the empty text from the pipeline's MultilingualCLIP.
    pooled: Float[Tensor, "1 w"]
    # Hidden states of the empty text.
    tokens: Float[Tensor, "1 l v"]

    def predict(
        self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]
    ) -> Float[Tensor, "c o h w"]:
        c = len(latents)
        cond = {"text_embeds": self.pooled.expand(c, -1), "image_embeds": z}
        return self.unet(latents, t, self.tokens.expand(c, -1, -1), added_cond_kwargs=cond).sample


@dataclass(frozen=True, eq=False)
class Karlo(Decoder):
    """The decoder of UnCLIPPipeline, which also reads a text, here the empty one.

    Latents are small pictures, which two more networks enlarge at the end.
    """

    # Combines image and text embeddings into the denoiser's inputs.
    text_proj: Any
    # Super-resolution network of all steps but the last.
    super_first: Any
    # Super-resolution network of the last step.
    super_last: Any
    # Scheduler of the super-resolution.
    super_scheduler: Any
    # Embedding of the empty text.
    pooled: Float[Tensor, "1 w"]
    # Hidden states of the empty text.
    tokens: Float[Tensor, "1 l v"]
    # True at real tokens of the empty text.
    mask: Bool[Tensor, "1 l"]

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self.super_scheduler).__name__
        if name != "UnCLIPScheduler":
            raise InputError(
                f"the super-resolution's scheduler is of class {name}; expected UnCLIPScheduler"
            )

    @property
    def side(self) -> int:
        return self.unet.config.sample_size

    def predict(
        self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]
    ) -> Float[Tensor, "c o h w"]:
        c = len(latents)
        extra = self.text_proj.clip_extra_context_tokens
        tokens, labels = self.text_proj(
            image_embeddings=z,
            prompt_embeds=self.pooled.expand(c, -1),
            do_classifier_free_guidance=False,
            text_encoder_hidden_states=self.tokens.expand(c, -1, -1),
        )
        mask = nn.functional.pad(self.mask, (extra, 0), value=True).expand(c, -1)
        return self.unet(latents, t, tokens, class_labels=labels, attention_mask=mask).sample

    def blank(self) -> Float[Tensor, "1 d"] | None:
        return self.text_proj.learned_classifier_free_guidance_embeddings[None]

    def encode(self, pictures: Float[Tensor, "c 3 s s"]) -> Float[Tensor, "c m h w"]:
        return pictures * 2 - 1

    def render(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 s s"]:
        return latents.float() * 0.5 + 0.5

    def enlarge(
        self, pictures: Float[Tensor, "c 3 s s"], generator: torch.Generator | list[torch.Generator]
    ) -> Float[Tensor, "c 3 ss ss"]:
        """Enlarge pictures by a diffusion of their own, as UnCLIPPipeline does.

        A second network takes the last step.
        """
        from diffusers.utils.torch_utils import randn_tensor

        scheduler = copy.deepcopy(self.super_scheduler)
        size = self.super_first.config.sample_size
        scheduler.set_timesteps(SUPER_STEPS)
        times = scheduler.timesteps.tolist()
        small = interpolate(pictures * 2 - 1, (size, size), mode="bicubic", antialias=True)
        x = randn_tensor(small.shape, generator=generator, device=small.device, dtype=small.dtype)
        for index, t in enumerate(times):
            last = index == len(times) - 1
            network = self.super_last if last else self.super_first
            inputs = torch.cat([x, small], 1).to(network.dtype)
            parts = [network(part, t).sample for part in inputs.split(SUPER_ROWS)]
            noise = torch.cat(parts).to(x)
            following = None if last else times[index + 1]
            x = scheduler.step(
                noise, t, x, prev_timestep=following, generator=generator
            ).prev_sample
        return (x * 0.5 + 0.5).clamp(0, 1)


def sample_latents(
    decoder: Decoder,
    z: Float[Tensor, "c d"],
    negative: Float[Tensor, "c d"],
    noise: Float[Tensor, "c m h w"],
    *,
    generator: torch.Generator | list[torch.Generator],
    guidance: float,
    steps: int,
    eta: float = 0.0,
    denoised_fn: Callable[[Tensor, float], Tensor] | None = None,
) -> Float[Tensor, "c m h w"]:
    """Denoise from unit noise to the latents of pictures, one for each of c image embeddings.

    `negative` is what guidance leads away from. See `Pipeline.decode` for the other arguments.
    Raises InputError for an eta out of [0, 1], or above 0 with a scheduler that has none, and for a
    number of steps that the scheduler cannot take.
    """
    scheduler = with_steps(decoder.scheduler, steps, z.device)
    accepted = inspect.signature(scheduler.step).parameters
    extra = _eta_kwargs(scheduler, eta)
    if "generator" in accepted:
        extra["generator"] = generator
    times = scheduler.timesteps
    last = len(times) - 1
    latents = noise * scheduler.init_noise_sigma
    for index, t in enumerate(times):
        # Euler's latents have a signal of 1; the network takes latents of unit variance.
        inputs = scheduler.scale_model_input(latents, t)
        predict = partial(_predict_noise, decoder, t=t, guidance=guidance)
        output = in_batches(predict, PICTURE_ROWS, inputs, z, negative)
        if denoised_fn is not None:
            modify = partial(_at_progress, denoised_fn, index / max(last, 1))
            output = _modified(
                decoder,
                output=output,
                latents=inputs,
                alpha_bar=alpha_bar(scheduler, index).to(latents),
                modify=modify,
            )
        # The UnCLIPScheduler needs to know to which timestep a step leads.
        if "prev_timestep" in accepted:
            extra["prev_timestep"] = times[index + 1] if index < last else None
        latents = scheduler.step(output, t, latents, **extra).prev_sample
    return latents


def _at_progress(
    denoised_fn: Callable[[Tensor, float], Tensor], progress: float, x0_pred: Tensor
) -> Tensor:
    return denoised_fn(x0_pred, progress)


def _predict_noise(
    decoder: Decoder,
    latents: Float[Tensor, "c m h w"],
    z: Float[Tensor, "c d"],
    negative: Float[Tensor, "c d"],
    *,
    t: Tensor,
    guidance: float,
) -> Float[Tensor, "c o h w"]:
    """Predict noise (or velocity) with guidance; a learned variance is passed on as it is."""
    m = latents.shape[1]
    dtype = torch.promote_types(z.dtype, torch.float32)
    latents = latents.to(z.dtype)
    if guidance > 1:
        inputs = torch.cat([latents, latents])
        output = decoder.predict(inputs, t, torch.cat([negative, z])).to(dtype)
        away, wanted = output.split(len(z))
        noise = away[:, :m] + guidance * (wanted[:, :m] - away[:, :m])
    else:
        wanted = decoder.predict(latents, t, z).to(dtype)
        noise = wanted[:, :m]
    return torch.cat([noise, wanted[:, m:]], 1) if learns_variance(decoder.scheduler) else noise


def _modified(
    decoder: Decoder,
    output: Float[Tensor, "c o h w"],
    latents: Float[Tensor, "c m h w"],
    alpha_bar: Float[Tensor, ""],
    modify: Callable[[Tensor], Tensor],
) -> Float[Tensor, "c o h w"]:
    """Return the output of a network that had predicted the modified clean latents.

    Networks predict the noise, a velocity (Salimans and Ho, arXiv 2202.00512), or the clean latents
    themselves, as the scheduler says.
    """
    m = latents.shape[1]
    signal = alpha_bar.sqrt()
    sigma = (1 - alpha_bar).sqrt()
    prediction = output[:, :m]
    match decoder.scheduler.config.prediction_type:
        case "sample":
            changed = modify(prediction).to(latents)
        case "v_prediction":
            x0 = modify(signal * latents - sigma * prediction).to(latents)
            changed = (signal * latents - x0) / sigma
        case _:
            x0 = modify((latents - sigma * prediction) / signal).to(latents)
            changed = (latents - signal * x0) / sigma
    return torch.cat([changed, output[:, m:]], 1)


def _eta_kwargs(scheduler: Any, eta: float) -> dict[str, Any]:
    """Return the keyword arguments that pass eta to scheduler.step.

    They are empty for an eta of 0, so schedulers without an eta argument work.
    """
    within("eta", eta, 0, 1)
    if eta and "eta" not in inspect.signature(scheduler.step).parameters:
        raise InputError(
            f"eta is {eta}; expected 0 with a {type(scheduler).__name__}, and any number in [0, 1] "
            "with a DDIMScheduler"
        )
    # With an eta of 1 and a schedule that ends in pure noise, DDIM takes the root of a difference
    # that rounding may leave below 0.
    return {"eta": min(eta, 1 - 1e-6)} if eta else {}

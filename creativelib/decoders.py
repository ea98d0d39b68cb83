"""From image embeddings to pictures, as far as models differ in it: Kandinsky 2.2 and the bundled model, Kandinsky 2.1, Karlo.

A decoder's `predict` is one call of its denoiser; sampling itself, guidance and edits are the same for all, see `Pipeline.decode`. Decoders
that also read a text are told the empty one, as in ConceptLab's released code: all that a picture shall be is in its embedding.
"""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

SUPER_STEPS = 7  # UnCLIPPipeline's default
SUPER_ROWS = 8  # pictures enlarged at once


@dataclass(frozen=True, eq=False)
class Decoder(ABC):
    """A denoiser of latents (m, h, w), given image embeddings, with the scheduler it was trained for."""

    unet: Any
    scheduler: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture's latents."""
        return (self.unet.config.in_channels, self.unet.config.sample_size, self.unet.config.sample_size)

    @property
    @abstractmethod
    def side(self) -> int:
        """Of the pictures that `encode` takes and `render` gives, in pixels."""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return tuple(value for value in vars(self).values() if isinstance(value, nn.Module))

    @abstractmethod
    def predict(self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]) -> Float[Tensor, "c o h w"]:
        """What the denoiser says of latents at timestep t; with a learned variance o is 2 m."""

    @abstractmethod
    def encode(self, pictures: Float[Tensor, "c 3 s s"]) -> Float[Tensor, "c m h w"]:
        """The latents of pictures in [0, 1]."""

    @abstractmethod
    def render(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 s s"]:
        """The pictures that latents stand for, from below 0 to above 1; differentiable."""

    def blank(self) -> Float[Tensor, "1 d"] | None:
        """The embedding that guidance leads away from, where the model has learned one."""
        return None

    def enlarge(self, pictures: Float[Tensor, "c 3 s s"], generator: torch.Generator | list[torch.Generator]) -> Float[Tensor, "c 3 ss ss"]:
        """What becomes of rendered pictures in [0, 1] at the end: by default, nothing."""
        return pictures


@dataclass(frozen=True, eq=False)
class Kandinsky22(Decoder):
    """KandinskyV22Pipeline's: an embedding is all that the denoiser is told, and a MoVQ turns latents into pictures."""

    movq: Any

    @property
    def side(self) -> int:
        return self.unet.config.sample_size * 2 ** (len(self.movq.config.block_out_channels) - 1)

    def predict(self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]) -> Float[Tensor, "c o h w"]:
        return self.unet(latents, t, None, added_cond_kwargs={"image_embeds": z}).sample

    def encode(self, pictures: Float[Tensor, "c 3 s s"]) -> Float[Tensor, "c m h w"]:
        return self.movq.encode(pictures * 2 - 1).latents

    def render(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 s s"]:
        return self.movq.decode(latents, force_not_quantize=True).sample.float() * 0.5 + 0.5


@dataclass(frozen=True, eq=False)
class Kandinsky21(Kandinsky22):
    """KandinskyPipeline's, which also reads a text: `pooled` and `tokens` are the empty one's, from its MultilingualCLIP."""

    pooled: Float[Tensor, "1 w"]
    tokens: Float[Tensor, "1 l v"]

    def predict(self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]) -> Float[Tensor, "c o h w"]:
        c = len(latents)
        told = {"text_embeds": self.pooled.expand(c, -1), "image_embeds": z}
        return self.unet(latents, t, self.tokens.expand(c, -1, -1), added_cond_kwargs=told).sample


@dataclass(frozen=True, eq=False)
class Karlo(Decoder):
    """UnCLIPPipeline's: latents are small pictures, which two more networks enlarge at the end. The text told is the empty one."""

    text_proj: Any
    super_first: Any
    super_last: Any
    super_scheduler: Any
    pooled: Float[Tensor, "1 w"]
    tokens: Float[Tensor, "1 l v"]
    mask: Bool[Tensor, "1 l"]

    @property
    def side(self) -> int:
        return self.unet.config.sample_size

    def predict(self, latents: Float[Tensor, "c m h w"], t: Tensor, z: Float[Tensor, "c d"]) -> Float[Tensor, "c o h w"]:
        c, extra = len(latents), self.text_proj.clip_extra_context_tokens
        tokens, labels = self.text_proj(image_embeddings=z, prompt_embeds=self.pooled.expand(c, -1), do_classifier_free_guidance=False,
                                        text_encoder_hidden_states=self.tokens.expand(c, -1, -1))
        mask = nn.functional.pad(self.mask, (extra, 0), value=True).expand(c, -1)
        return self.unet(latents, t, tokens, class_labels=labels, attention_mask=mask).sample

    def blank(self) -> Float[Tensor, "1 d"] | None:
        return self.text_proj.learned_classifier_free_guidance_embeddings[None]

    def encode(self, pictures: Float[Tensor, "c 3 s s"]) -> Float[Tensor, "c m h w"]:
        return pictures * 2 - 1

    def render(self, latents: Float[Tensor, "c m h w"]) -> Float[Tensor, "c 3 s s"]:
        return latents.float() * 0.5 + 0.5

    def enlarge(self, pictures: Float[Tensor, "c 3 s s"], generator: torch.Generator | list[torch.Generator]) -> Float[Tensor, "c 3 ss ss"]:
        """By a diffusion of its own, whose last step is another network's, as in UnCLIPPipeline."""
        from diffusers.utils.torch_utils import randn_tensor

        scheduler, size = copy.deepcopy(self.super_scheduler), self.super_first.config.sample_size
        scheduler.set_timesteps(SUPER_STEPS)
        times = scheduler.timesteps.tolist()
        small = interpolate(pictures * 2 - 1, (size, size), mode="bicubic", antialias=True)
        x = randn_tensor(small.shape, generator=generator, device=small.device, dtype=small.dtype)
        for index, t in enumerate(times):
            last = index == len(times) - 1
            network = self.super_last if last else self.super_first
            inputs = torch.cat([x, small], 1).to(network.dtype)
            noise = torch.cat([network(part, t).sample for part in inputs.split(SUPER_ROWS)]).to(x)
            x = scheduler.step(noise, t, x, prev_timestep=None if last else times[index + 1], generator=generator).prev_sample
        return (x * 0.5 + 0.5).clamp(0, 1)

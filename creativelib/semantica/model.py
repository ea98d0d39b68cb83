"""Semantica: variations of pictures, learned from pictures that stood on one page (Kumar et al., arXiv 2405.14857).

    semantica = Semantica.load()
    varied = semantica.vary(pictures, 8, generator=generator)      # (k, m, 3, h, w) -> (k, 8, 3, h, w)

A diffusion model denoises one picture of a page while it looks, by cross-attention, at a frozen encoder's tokens of others. What the
pictures of a page share it learns to keep, and what they do not share to make up. The paper shows it one other picture; here it is shown
one to four, so that it can see what they share (see `training.semantica`).

Time is continuous, from 0 (clean) to 1 (noise); the network predicts the clean latents.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError, at_least
from ..models.location import verify
from ..models.names import MODELS
from ..models.networks import load_frozen, usable_device
from ..vision.encoders import Encoder

ROWS = 32  # pictures denoised at once
BUNDLED = {"menagerie": "semantica/pairs", "control": "semantica/control"}


@dataclass(frozen=True, eq=False)
class Level:
    """How much of a noised picture is signal and how much is noise at a time; their squares sum to 1."""

    signal: Tensor
    noise: Tensor


def level(t: Float[Tensor, "..."]) -> Level:
    """The cosine schedule (Nichol and Dhariwal, arXiv 2102.09672, in continuous time)."""
    angle = t * torch.pi / 2
    return Level(angle.cos(), angle.sin())


# Takes noised latents, times, and whether the pictures are shown or nothing is; gives the clean latents.
Denoise = Callable[[Tensor, Tensor, bool], Tensor]


def denoise(
    unet: Any,
    x: Float[Tensor, "n c h w"],
    t: Float[Tensor, " n"],
    tokens: Float[Tensor, "n l d"],
    count: Int[Tensor, " n"],
) -> Float[Tensor, "n c h w"]:
    """What the network takes the clean latents to be, shown the tokens of `count` pictures; of none, they are taken for zeros.

    It has to be told how many: attention is an average, and that of four pictures that agree is that of one. More than it was trained with
    count as that many. It counts time in thousandths, as its embedding of times expects.
    """
    most = unet.config.num_class_embeds - 1
    return unet(
        x, 1000 * t, tokens * (count > 0)[:, None, None], class_labels=count.clamp(max=most)
    ).sample


def sample(
    predict: Denoise, noise: Float[Tensor, "n c h w"], steps: int = 20, guidance: float = 1.0
) -> Float[Tensor, "n c h w"]:
    """DDIM (arXiv 2010.02502) from pure noise to clean latents. With a guidance above 1 each step is led away from what is drawn when
    nothing is shown."""
    x = noise
    times = torch.linspace(1, 0, steps + 1).tolist()
    for now, then in zip(times[:-1], times[1:], strict=True):
        t = torch.full((len(x),), now, device=x.device, dtype=x.dtype)
        clean = predict(x, t, True)
        if guidance > 1:
            blind = predict(x, t, False)
            clean = blind + guidance * (clean - blind)
        here = level(torch.tensor(now))
        there = level(torch.tensor(then))
        x = there.signal * clean + there.noise * (x - here.signal * clean) / here.noise
    return x


@dataclass(frozen=True, eq=False)
class Semantica:
    """A trained denoiser with the encoder it looks through and the autoencoder whose latents it draws."""

    encoder: Encoder
    unet: Any
    movq: Any

    @classmethod
    def load(
        cls, name_or_path: str | Path = "menagerie", device: str | torch.device = "cpu"
    ) -> "Semantica":
        """The bundled model ("menagerie"), its control, which learned to reconstruct what it is shown ("control"), or a folder that
        `training.semantica` wrote. Raises InputError for an unknown name or device, and damaged bundled files."""
        from diffusers import UNet2DConditionModel, VQModel

        root = MODELS["menagerie"].folder
        if str(name_or_path) in BUNDLED and root is not None:
            verify(root)
            folder = root / BUNDLED[str(name_or_path)]
        else:
            folder = Path(name_or_path)
        if not (folder / "semantica.json").is_file():
            raise InputError(
                f"semantica is {str(name_or_path)!r}; expected {', '.join(BUNDLED)} and a folder with semantica.json"
            )
        about = json.loads((folder / "semantica.json").read_text())
        place = usable_device(device)
        # A bundled stack's name stands for its autoencoder, and its encoders go with that.
        stack = MODELS.get(about["movq"])
        whole = stack.folder if stack is not None else None
        autoencoder = Path(about["movq"]) if whole is None else whole / "decoder" / "movq"
        encoder = Encoder.load(
            about["encoder"], place, stack="menagerie" if whole is None else about["movq"]
        )
        return cls(
            encoder,
            load_frozen(UNet2DConditionModel, folder, place),
            load_frozen(VQModel, autoencoder, place),
        )

    def vary(
        self,
        pictures: Float[Tensor, "k m 3 h w"],
        n: int,
        *,
        generator: torch.Generator,
        guidance: float = 1.0,
        steps: int = 20,
    ) -> Float[Tensor, "k n 3 hh ww"]:
        """n pictures for each of k sets of m pictures in [0, 1], as if they stood on the same page (m = 1: variations of one picture).

        Raises InputError unless n, m and steps are at least 1.
        """
        k, m = pictures.shape[:2]
        for name, value in {"n": n, "pictures per set": m, "steps": steps}.items():
            at_least(name, value, 1)
        tokens = (
            self.encoder.encode(pictures.flatten(0, 1)).tokens.unflatten(0, (k, m)).flatten(1, 2)
        )
        config = self.unet.config
        noise = torch.randn(
            k * n,
            config.in_channels,
            config.sample_size,
            config.sample_size,
            generator=generator,
            device=generator.device,
        ).to(self.unet.device)
        owner = torch.arange(k, device=noise.device).repeat_interleave(n)
        parts = [
            self._draw(x, tokens[rows], m, steps, guidance)
            for x, rows in zip(noise.split(ROWS), owner.split(ROWS), strict=True)
        ]
        return torch.cat(parts).unflatten(0, (k, n))

    def _draw(
        self,
        noise: Float[Tensor, "r c h w"],
        tokens: Float[Tensor, "r l d"],
        m: int,
        steps: int,
        guidance: float,
    ) -> Tensor:
        count = torch.full((len(noise),), m, device=noise.device)
        latents = sample(
            lambda x, t, shown: denoise(self.unet, x, t, tokens, count * shown),
            noise,
            steps,
            guidance,
        )
        return (self.movq.decode(latents, force_not_quantize=True).sample * 0.5 + 0.5).clamp(0, 1)

"""How Semantica learns: the network, its loss, and what is written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.networks import save_half
from .corpus import Corpus, Pairs
from .model import denoise, level

SHOTS = (1, 2, 4)  # how many pictures of the page are shown
DROP = 0.10
LARGEST = 5.0  # weight of an error of the clean latents


def build(
    width: int, latent: int, size: int = 16, channels: tuple[int, int] = (48, 96), layers: int = 4
) -> Any:
    """A network like U-ViT (Hoogeboom et al., arXiv 2301.11093): convolutions outside, and a transformer at half the resolution, where it
    looks at tokens of the given width. `channels` are those outside and of the transformer."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(
        sample_size=size,
        in_channels=latent,
        out_channels=latent,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D",) * 2,
        transformer_layers_per_block=layers,
        attention_head_dim=channels[1] // 32,
        cross_attention_dim=channels[1],
        encoder_hid_dim=width,
        encoder_hid_dim_type="text_proj",
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        use_linear_projection=True,
        num_class_embeds=max(SHOTS) + 1,
    )  # the number of pictures that are shown
    torch.nn.init.zeros_(unet.class_embedding.weight)
    return unet


def error(
    guess: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], t: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """The mean squared error of clean latents, each picture's in units of its noise's variance, but not more than LARGEST times."""
    weight = level(t).noise.square().reciprocal().clamp(max=LARGEST)
    return ((guess.float() - clean).square().mean((1, 2, 3)) * weight).mean()


def lesson(
    corpus: Corpus, unet: Any, learned: Pairs, shots: Sequence[int], batch: int
) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
    """The loss of a step. Times are spread over (0, 1]: batches differ less than with independent ones."""
    device = next(unet.parameters()).device

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        place = generator.device
        m = shots[int(torch.randint(len(shots), (1,), generator=generator, device=place))]
        target, shown = learned.sample(batch, m, generator)
        clean = corpus.latents[target].to(device).float()
        tokens = corpus.tokens[shown].to(device).flatten(1, 2).float()
        count = (m * (torch.rand(batch, generator=generator, device=place) >= DROP)).to(device)
        within = torch.rand(batch, generator=generator, device=place).to(device)
        t = 1 - (torch.arange(batch, device=device) + within) / batch
        noise = torch.randn(clean.shape, generator=generator, device=place).to(device)
        at = level(t[:, None, None, None])
        noisy = at.signal * clean + at.noise * noise
        return {"loss": error(denoise(unet, noisy, t, tokens, count), clean, t)}

    return loss


def keep(unet: Any, folder: Path, encoder: str, movq: str, about: dict) -> None:
    """Write what `Semantica.load` reads."""
    save_half(unet, folder)
    card = {"encoder": encoder, "movq": movq} | about
    (folder / "semantica.json").write_text(json.dumps(card, indent=1) + "\n")

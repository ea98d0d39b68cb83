"""The network that Semantica trains, and its loss."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .corpus import Corpus, Pairs
from .model import denoise, level

SHOTS = (1, 2, 4)  # numbers of pictures of a page that are shown
DROP = 0.10  # share of targets for which nothing is shown
LARGEST = 5.0  # largest weight of an error of the clean latents


def build(
    width: int, latent: int, size: int = 16, channels: tuple[int, int] = (48, 96), layers: int = 4
) -> Any:
    """Build a network like U-ViT (Hoogeboom et al., arXiv 2301.11093).

    Convolutions run at full resolution. At half of it, a transformer of `layers` layers looks at
    tokens of the given width. `latent` is the number of the latents' channels, `size` their side.
    `channels` are the widths of the convolutions and of the transformer.
    """
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
        # The class is the number of pictures shown, from 0.
        num_class_embeds=max(SHOTS) + 1,
    )
    torch.nn.init.zeros_(unet.class_embedding.weight)
    return unet


def error(
    guess: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], t: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Compute the mean squared error of clean latents, weighted by time.

    Each picture's error is divided by its noise's variance; the weight is at most LARGEST.
    """
    weight = level(t).noise.square().reciprocal().clamp(max=LARGEST)
    return ((guess.float() - clean).square().mean((1, 2, 3)) * weight).mean()


def make_loss(
    corpus: Corpus, unet: Any, learned: Pairs, shots: Sequence[int], batch: int
) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
    """Make the loss for `fitting.loop.train`.

    Every step shows one of the numbers in `shots`, chosen at random. Times are spread over (0, 1],
    so batches differ less than with independent times.
    """
    device = next(unet.parameters()).device

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        source = generator.device
        m = shots[int(torch.randint(len(shots), (1,), generator=generator, device=source))]
        target, shown = learned.sample(batch, m, generator)
        clean = corpus.latents[target].to(device).float()
        tokens = corpus.tokens[shown].to(device).flatten(1, 2).float()
        conditioned = torch.rand(batch, generator=generator, device=source) >= DROP
        count = (m * conditioned).to(device)
        within = torch.rand(batch, generator=generator, device=source).to(device)
        t = 1 - (torch.arange(batch, device=device) + within) / batch
        noise = torch.randn(clean.shape, generator=generator, device=source).to(device)
        at = level(t[:, None, None, None])
        noisy = at.signal * clean + at.noise * noise
        guess = denoise(unet, x=noisy, t=t, tokens=tokens, count=count)
        return {"loss": error(guess, clean, t)}

    return loss

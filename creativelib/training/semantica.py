"""Semantica and its control (Kumar et al., arXiv 2405.14857): the same network, shown others of a page, or the picture itself.

The paper shows one picture of the page. From one picture nobody can tell what its page shares; so here it is one, two or four, alike
often, and a network that is shown several can learn to keep what they have in common. The error of the clean latents is weighted as an
error of the velocity would be (Salimans and Ho, arXiv 2202.00512), up to a limit, since near the clean picture that weight is infinite.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders import Encoder
from ..semantica import denoise, level
from . import export, vqmodel
from .loop import Recipe, train
from .pages import Corpus, Filter, Pairs, itself, of_the_world, pairs

RECIPE = Recipe("semantica", steps=6400, batch=64, lr=1.5e-3, warmup=200, weight_decay=0.01, average=0.998, seed=41, muon=3e-3)
CONTROL_STEPS = 3000  # to say what one sees is learned sooner than to say what else there might be
SHOTS = (1, 2, 4)  # how many pictures of the page are shown
DROP = 0.10
LARGEST = 5.0  # weight of an error of the clean latents
KEEP = Filter()
ENCODER = "clip"


def build(width: int, latent: int = vqmodel.CHANNELS, size: int = 16, channels: tuple[int, int] = (48, 96), layers: int = 4) -> Any:
    """A network like U-ViT (Hoogeboom et al., arXiv 2301.11093): convolutions outside, and a transformer at half the resolution, where it
    looks at tokens of the given width. `channels` are those outside and of the transformer."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(
        sample_size=size, in_channels=latent, out_channels=latent, block_out_channels=channels, layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, mid_block_type="UNetMidBlock2DCrossAttn", up_block_types=("UpBlock2D",) * 2,
        transformer_layers_per_block=layers, attention_head_dim=channels[1] // 32, cross_attention_dim=channels[1], encoder_hid_dim=width,
        encoder_hid_dim_type="text_proj", norm_num_groups=16, resnet_time_scale_shift="scale_shift", use_linear_projection=True,
        num_class_embeds=max(SHOTS) + 1)  # the number of pictures that are shown
    torch.nn.init.zeros_(unet.class_embedding.weight)
    return unet


def error(guess: Float[Tensor, "n c h w"], clean: Float[Tensor, "n c h w"], t: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean squared error of clean latents, each picture's in units of its noise's variance, but not more than LARGEST times."""
    weight = level(t).noise.square().reciprocal().clamp(max=LARGEST)
    return ((guess.float() - clean).square().mean((1, 2, 3)) * weight).mean()


def lesson(corpus: Corpus, unet: Any, learned: Pairs, shots: Sequence[int],
           batch: int) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
    """The loss of a step. Times are spread over (0, 1]: batches differ less than with independent ones."""
    device = next(unet.parameters()).device

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        m = shots[int(torch.randint(len(shots), (1,), generator=generator))]
        target, shown = learned.sample(batch, m, generator)
        clean = corpus.latents[target].float().to(device)
        count = (m * (torch.rand(batch, generator=generator) >= DROP)).to(device)
        tokens = corpus.tokens[shown].flatten(1, 2).float().to(device)
        t = 1 - (torch.arange(batch) + torch.rand(batch, generator=generator)).to(device) / batch
        noise = torch.randn(clean.shape, generator=generator).to(device)
        at = level(t[:, None, None, None])
        return {"loss": error(denoise(unet, at.signal * clean + at.noise * noise, t, tokens, count), clean, t)}

    return loss


def keep(unet: Any, folder: Path, encoder: str, movq: str, about: dict) -> None:
    """Write what `Semantica.load` reads."""
    export.save_half(unet, folder)
    (folder / "semantica.json").write_text(json.dumps({"encoder": encoder, "movq": movq} | about, indent=1) + "\n")


def learn(name: str, corpus: Corpus, learned: Pairs, shots: tuple[int, ...], recipe: Recipe = RECIPE) -> tuple[Any, dict]:
    """Train one network from nothing; with facts for the model card."""
    torch.manual_seed(recipe.seed)
    unet = build(corpus.tokens.shape[2])
    return unet, train(unet, lesson(corpus, unet, learned, shots, recipe.batch), replace(recipe, name=name))


def main() -> dict:
    """Both bundled networks."""
    encoder = Encoder.load(ENCODER)
    corpus, facts = of_the_world(encoder, export.load_movq()), {}
    ways = {"pairs": (pairs(corpus, KEEP), SHOTS, RECIPE), "control": (itself(corpus), (1,), replace(RECIPE, steps=CONTROL_STEPS))}
    for name, (learned, shots, recipe) in ways.items():
        unet, facts[name] = learn(f"semantica-{name}", corpus, learned, shots, recipe)
        keep(unet, export.FOLDER / "semantica" / name, ENCODER, "menagerie", {"low": KEEP.low, "high": KEEP.high, "shots": shots})
    export.note("semantica", facts)
    export.sums()
    return facts

"""Semantica and its control (Kumar et al., arXiv 2405.14857): one network, shown a page or itself.

Semantica is shown others of the page of which it draws a picture, the control that picture. The
paper shows one picture of the page. From one nobody can tell what its page shares; so here it is
one, two or four, alike often, and a network that is shown several can learn to keep what they have
in common. The error of the clean latents is weighted as an error of the velocity would be (Salimans
and Ho, arXiv 2202.00512), up to a limit, since near the clean picture that weight is infinite.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders import Encoder
from ..pictures import Preprocess
from ..semantica import denoise, level
from . import export, vqmodel
from .loop import Recipe, Run, compiled, train
from .pages import Corpus, Filter, Pairs, itself, of_the_world, pairs

RECIPE = Recipe("semantica", steps=6400, batch=64, lr=1.5e-3, warmup=200, weight_decay=0.01,
                average=0.998, seed=41, muon=3e-3)
CONTROL_STEPS = 3000  # to say what one sees is learned sooner than to say what else there might be
PART = 0.68  # of the minutes, for the network that is not the control
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
    export.save_half(unet, folder)
    card = {"encoder": encoder, "movq": movq} | about
    (folder / "semantica.json").write_text(json.dumps(card, indent=1) + "\n")


def eyes(name: str, device: torch.device) -> Encoder:
    """Load an encoder of the stack that is trained here, by the name that it is bundled under."""
    if name == "clip":
        preprocess = Preprocess.read(export.PRIOR / "image_processor")
        return Encoder(name, export.load_clip(device)[1], preprocess)
    return replace(Encoder.load(export.FOLDER / name, device), name=name)


def learn(name: str, corpus: Corpus, learned: Pairs, shots: tuple[int, ...], recipe: Recipe,
          device: torch.device, minutes: float | None) -> tuple[Any, dict]:
    """Train one network from nothing; with facts for the model card."""
    torch.manual_seed(recipe.seed)
    unet = build(corpus.tokens.shape[2]).to(device)
    compiled(unet, device)
    loss = lesson(corpus, unet, learned, shots, recipe.batch)
    return unet, train(unet, loss, replace(recipe, name=name), minutes=minutes)


@dataclass(frozen=True)
class Way:
    """What a network learns from, and how long. part: of the minutes."""

    learned: Pairs
    shots: tuple[int, ...]
    recipe: Recipe
    part: float


def main(run: Run) -> dict:
    """Train both bundled networks."""
    corpus = of_the_world(eyes(ENCODER, run.device), export.load_movq(run.device))
    ways = {
        "pairs": Way(pairs(corpus, KEEP), SHOTS, RECIPE, PART),
        "control": Way(itself(corpus), (1,), replace(RECIPE, steps=CONTROL_STEPS), 1 - PART),
    }
    facts = {}
    for name, way in ways.items():
        unet, facts[name] = learn(f"semantica-{name}", corpus, way.learned, way.shots, way.recipe,
                                  run.device, run.part(way.part))
        about = {"low": KEEP.low, "high": KEEP.high, "shots": way.shots}
        keep(unet, export.FOLDER / "semantica" / name, ENCODER, export.MODEL, about)
    export.note("semantica", facts)
    export.sums()
    return facts

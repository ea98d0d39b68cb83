"""The decoder: from a picture's embedding to the latents of a picture (`UNet2DConditionModel` as in Kandinsky 2.2).

It predicts the velocity (Salimans and Ho 2022) under a schedule that ends in pure noise (Lin et al. 2023), so that few DDIM steps
are enough. In 10 % of the cases the embedding is that of the empty picture, for guidance. Half of the output channels, where
Kandinsky's model predicts a variance, are not trained: DDIM does not read them.

The second stage sees more wild pictures, and three further losses tell it what matters in a picture: the clean latents that it
predicts are to be read like the true ones (Berrada et al. 2024, a latent perceptual loss), are to say what the embedding says, and are
to show the factors that were drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import mse_loss

from ..world.scenes import Scenes
from . import clip, data, export, reader, vqmodel
from .loop import Recipe, train

RECIPE = Recipe("decoder", steps=8000, batch=32, lr=1.2e-3, warmup=300, weight_decay=0.01, average=0.999, seed=5, muon=3e-3)
READ = Recipe("decoder-read", steps=5600, batch=32, lr=8e-4, warmup=50, weight_decay=0.01, average=0.998, seed=6, muon=2e-3)
DROP = 0.10
WILD = 0.6  # share of wild pictures in the second stage
SAYS, LIKE, SHOWS = 0.10, 0.15, 0.08  # weights of the reader's embedding, of its features and of its factors
CLEAR = 750  # above this time a prediction is too blurred to be compared feature by feature


def build() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16, in_channels=vqmodel.CHANNELS, out_channels=2 * vqmodel.CHANNELS, block_out_channels=(96, 128), layers_per_block=1,
        down_block_types=("DownBlock2D", "SimpleCrossAttnDownBlock2D"), mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=32, norm_num_groups=16,
        cross_attention_dim=64, encoder_hid_dim=clip.DIM, encoder_hid_dim_type="image_proj", addition_embed_type="image",
        resnet_time_scale_shift="scale_shift")


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(num_train_timesteps=1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
                         prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=True, steps_offset=0,
                         timestep_spacing="trailing", rescale_betas_zero_snr=True)


def spread_times(n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """One time in each n-th of the schedule: batches differ less than with independent times."""
    return ((torch.arange(n) + torch.rand(n, generator=generator)) / n * 1000).long()


def standardised(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return (z - z.mean(0)) / z.std(0)


def alike(found: list[Tensor], true: list[Tensor], weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Squared error of features in units of their variance, averaged over layers and weighted pictures."""
    errors = torch.stack([(a.float() - b.float()).square().mean((1, 2, 3)) / b.float().var() for a, b in zip(found, true, strict=True)])
    return (errors.mean(0) * weight).sum() / weight.sum()


@dataclass(frozen=True)
class Guess:
    """error: of the velocity. latents: the predicted clean ones. told: True where the model knew the embedding."""

    error: Float[Tensor, ""]
    latents: Float[Tensor, "n c 16 16"]
    told: Bool[Tensor, " n"]


@dataclass(frozen=True)
class Lessons:
    """The training set as the decoder sees it, and the losses of both stages."""

    scenes: Scenes
    z: Float[Tensor, "n d"]
    latents: Float[Tensor, "n c 16 16"]
    empty: Float[Tensor, "1 d"]
    noise_schedule: Any

    def guess(self, model: Any, rows: Int[Tensor, " b"], t: Int[Tensor, " b"], generator: torch.Generator) -> Guess:
        clean = self.latents[rows].float()
        noise = torch.randn(clean.shape, generator=generator)
        told = torch.rand(len(rows), generator=generator) > DROP
        condition = torch.where(told[:, None], self.z[rows], self.empty)
        noisy, target = self.noise_schedule.add_noise(clean, noise, t), self.noise_schedule.get_velocity(clean, noise, t)
        v = model(noisy, t, encoder_hidden_states=None, added_cond_kwargs={"image_embeds": condition}).sample.chunk(2, 1)[0].float()
        kept = self.noise_schedule.alphas_cumprod[t][:, None, None, None]
        return Guess(mse_loss(v, target), kept.sqrt() * noisy - (1 - kept).sqrt() * v, told)

    def first(self, model: Any) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
        def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
            rows = torch.randint(len(self.z), (RECIPE.batch,), generator=generator)
            return {"loss": self.guess(model, rows, torch.randint(1000, (len(rows),), generator=generator), generator).error}
        return loss

    def second(self, model: Any, eyes: reader.Reader) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
        standard = standardised(self.z)

        def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
            rows = data.mixed_rows(self.scenes, READ.batch, WILD, generator)
            t = spread_times(len(rows), generator)
            guess = self.guess(model, rows, t, generator)
            with torch.no_grad():
                true = eyes.features(self.latents[rows].float())
            found = eyes.features(guess.latents)
            read, known = eyes.read(found[-1][guess.told]), rows[guess.told]
            terms = {"error": guess.error, "says": (read.embedding - standard[known]).square().mean(),
                     "like": alike(found, true, (t < CLEAR).float()), "shows": reader.misread(read, self.scenes[known])}
            total = terms["error"] + SAYS * terms["says"] + LIKE * terms["like"] + SHOWS * terms["shows"]
            return {"loss": total} | {k: v.detach() for k, v in terms.items()}
        return loss


def lessons() -> Lessons:
    pictures = data.load()
    return Lessons(pictures.scenes, export.embeddings(pictures), export.latents(pictures), export.empty_embedding(), scheduler())


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    on, model = lessons(), build()
    facts = {"first": train(model, on.first(model), RECIPE)}
    eyes, facts["reader"] = reader.fit(on.latents, standardised(on.z), on.scenes)
    facts["second"] = train(model, on.second(model, eyes), READ)
    export.save_half(model, export.DECODER / "unet")
    on.noise_schedule.save_pretrained(export.DECODER / "scheduler")
    export.note("decoder", facts)
    return facts

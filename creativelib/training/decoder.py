"""The decoder: from a picture's embedding to the latents of a picture (`UNet2DConditionModel` as in Kandinsky 2.2).

It predicts the velocity (Salimans and Ho 2022) under a schedule that ends in pure noise (Lin et al. 2023), so that few DDIM steps
are enough. In 10 % of the cases the embedding is that of the empty picture, for guidance. Half of the output channels, where
Kandinsky's model predicts a variance, are not trained: DDIM does not read them.

The second stage sees more wild pictures, and two further losses tell it what matters in a picture: the clean latents that it predicts
are to be read like the true ones (Berrada et al. 2024, a latent perceptual loss), and are to say what the embedding says.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import mse_loss

from . import clip, data, export, reader, vqmodel
from .loop import Recipe, train

RECIPE = Recipe("decoder", steps=8000, batch=32, lr=1.2e-3, warmup=300, weight_decay=0.01, average=0.999, seed=5, muon=3e-3)
READ = Recipe("decoder-read", steps=2300, batch=32, lr=8e-4, warmup=50, weight_decay=0.01, average=0.998, seed=6, muon=2e-3)
DROP = 0.10
WILD = 0.6  # share of wild pictures in the second stage
SAYS, LIKE = 0.10, 0.15  # weights of the reader's embedding and of its features
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


def alike(found: list[Tensor], true: list[Tensor], weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Squared error of features in units of their variance, averaged over layers and weighted pictures."""
    errors = torch.stack([(a.float() - b.float()).square().mean((1, 2, 3)) / b.float().var() for a, b in zip(found, true, strict=True)])
    return (errors.mean(0) * weight).sum() / weight.sum()


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    pictures = data.load()
    z, x, empty = export.embeddings(pictures), export.latents(pictures), export.empty_embedding()
    noise_schedule, model = scheduler(), build()
    wild, named = ((pictures.scenes.species < 0).nonzero()[:, 0], (pictures.scenes.species >= 0).nonzero()[:, 0])
    standard = (z - z.mean(0)) / z.std(0)

    def predict(rows: Tensor, t: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The velocity's error, the predicted clean latents, and True where the model was told the embedding."""
        clean = x[rows].float()
        noise = torch.randn(clean.shape, generator=generator)
        told = torch.rand(len(rows), generator=generator) > DROP
        condition = torch.where(told[:, None], z[rows], empty)
        noisy, target = noise_schedule.add_noise(clean, noise, t), noise_schedule.get_velocity(clean, noise, t)
        guess = model(noisy, t, encoder_hidden_states=None, added_cond_kwargs={"image_embeds": condition}).sample.chunk(2, 1)[0].float()
        kept = noise_schedule.alphas_cumprod[t][:, None, None, None]
        return mse_loss(guess, target), kept.sqrt() * noisy - (1 - kept).sqrt() * guess, told

    def first(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        return {"loss": predict(rows, torch.randint(1000, (len(rows),), generator=generator), generator)[0]}

    facts = {"first": train(model, first, RECIPE)}
    eyes, facts["reader"] = reader.fit(x, standard)

    def second(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        count = round(WILD * READ.batch)
        rows = torch.cat([group[torch.randint(len(group), (n,), generator=generator)]
                          for group, n in ((wild, count), (named, READ.batch - count))])
        rows = rows[torch.randperm(len(rows), generator=generator)]
        t = spread_times(len(rows), generator)
        error, clean, told = predict(rows, t, generator)
        with torch.no_grad():
            true = eyes.features(x[rows].float())
        found = eyes.features(clean)
        like = alike(found, true, (t < CLEAR).float())
        says = (eyes.head(found[-1]).float() - standard[rows]).square().mean(1)[told].mean()
        return {"loss": error + SAYS * says + LIKE * like, "error": error.detach(), "says": says.detach(), "like": like.detach()}

    facts["second"] = train(model, second, READ)
    export.save_half(model, export.DECODER / "unet")
    noise_schedule.save_pretrained(export.DECODER / "scheduler")
    export.note("decoder", facts)
    return facts

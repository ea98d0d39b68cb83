"""The decoder: from a picture's embedding to the latents of a picture (`UNet2DConditionModel` as in Kandinsky 2.2).

It predicts the velocity (Salimans and Ho 2022) under a schedule that ends in pure noise (Lin et al. 2023), so that few DDIM steps
are enough. In 10 % of the cases the embedding is that of the empty picture, for guidance. Half of the output channels, where
Kandinsky's model predicts a variance, are not trained: DDIM does not read them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from . import clip, data, export, vqmodel
from .loop import Recipe, train

RECIPE = Recipe("decoder", steps=8000, batch=32, lr=1.2e-3, warmup=300, weight_decay=0.01, average=0.999, seed=5, muon=3e-3)
DROP = 0.10


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


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    pictures = data.load()
    z, x, empty = export.embeddings(pictures), export.latents(pictures), export.empty_embedding()
    noise_schedule, model = scheduler(), build()

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        clean = x[rows].float()
        t = torch.randint(1000, (len(rows),), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        keep = torch.rand(len(rows), generator=generator) > DROP
        condition = torch.where(keep[:, None], z[rows], empty)
        noisy, target = noise_schedule.add_noise(clean, noise, t), noise_schedule.get_velocity(clean, noise, t)
        guess = model(noisy, t, encoder_hidden_states=None, added_cond_kwargs={"image_embeds": condition}).sample.chunk(2, 1)[0]
        return {"loss": mse_loss(guess.float(), target)}

    facts = train(model, loss, RECIPE)
    export.save_half(model, export.DECODER / "unet")
    noise_schedule.save_pretrained(export.DECODER / "scheduler")
    export.note("decoder", facts)
    return facts

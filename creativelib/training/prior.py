"""The diffusion prior: from a caption to a picture's embedding (Ramesh et al. 2022, section 2.2; `PriorTransformer`).

It sees as many wild pictures as CLIP and the decoder do, or it could not compose parts that no species has together. "A pet" stays
what a pet usually is all the same: of the pictures with a bare caption, only as many are wild as the truth has. Captions are dropped
in 10 % of the cases (the empty prompt takes their place), for guidance.
"""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ..world.scenes import caption
from . import clip, data, export, tokenizer
from .loop import Recipe, train

RECIPE = Recipe("prior", steps=1800, batch=256, lr=1.5e-3, warmup=150, weight_decay=0.01, average=0.997, seed=4, muon=3e-3)
DROP = 0.10


def build(mean: Tensor, std: Tensor) -> Any:
    from diffusers import PriorTransformer

    prior = PriorTransformer(num_attention_heads=6, attention_head_dim=32, num_layers=4, embedding_dim=clip.DIM,
                             num_embeddings=tokenizer.LENGTH, additional_embeddings=4)
    prior.clip_mean.data.copy_(mean[None])
    prior.clip_std.data.copy_(std[None])
    prior.clip_mean.requires_grad_(False)
    prior.clip_std.requires_grad_(False)
    return prior


def scheduler() -> Any:
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(num_train_timesteps=1000, prediction_type="sample", variance_type="fixed_small_log", clip_sample=True,
                           clip_sample_range=10.0)


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    pictures, (text, _, words) = data.load(), export.load_clip()
    z = export.embeddings(pictures)
    mean, std = z.mean(0), z.std(0)
    noise_schedule, model = scheduler(), build(mean, std)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        texts = caption(pictures.scenes[rows], random.Random(step), data.WILD)
        keep = torch.rand(len(rows), generator=generator) > DROP
        texts = [t if k else "" for t, k in zip(texts, keep.tolist(), strict=True)]
        ids = words(texts, padding="max_length", max_length=tokenizer.LENGTH, truncation=True, return_tensors="pt")
        with torch.no_grad():
            said = text(ids.input_ids)
        x = (z[rows] - mean) / std
        t = torch.randint(1000, (len(rows),), generator=generator)
        noisy = noise_schedule.add_noise(x, torch.randn(x.shape, generator=generator), t)
        guess = model(noisy, t, said.text_embeds, said.last_hidden_state, ids.attention_mask.bool()).predicted_image_embedding
        return {"loss": mse_loss(guess.float(), x)}

    facts = train(model, loss, RECIPE)
    export.save_half(model, export.PRIOR / "prior")
    noise_schedule.save_pretrained(export.PRIOR / "scheduler")
    export.note("prior", facts)
    return facts

"""The diffusion prior: from a caption to a picture's embedding (Ramesh et al. 2022, section 2.2; `PriorTransformer`).

It sees wild pictures only as often as the truth has them, so "a pet" stays what a pet usually is. Captions are dropped in 10 %
of the cases (the empty prompt takes their place), for guidance.
"""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ..world.scenes import caption
from ..world.truth import WILD
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


def as_the_truth(wild: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of a set with too many wild pictures such that the truth's share of them stays."""
    kept = (~wild).nonzero()[:, 0]
    others = wild.nonzero()[:, 0]
    count = int(len(kept) * WILD / (1 - WILD))
    return torch.cat([kept, others[torch.randperm(len(others), generator=generator)[:count]]])


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    pictures, (text, _, words) = data.load(), export.load_clip()
    z = export.embeddings(pictures)
    rows_allowed = as_the_truth(pictures.scenes.species < 0, torch.Generator().manual_seed(0))
    mean, std = z[rows_allowed].mean(0), z[rows_allowed].std(0)
    noise_schedule, model = scheduler(), build(mean, std)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = rows_allowed[torch.randint(len(rows_allowed), (RECIPE.batch,), generator=generator)]
        texts = caption(pictures.scenes[rows], random.Random(step), WILD)
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

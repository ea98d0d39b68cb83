"""CLIP: pictures and captions in one space of 96 dimensions, trained with the contrastive loss of Radford et al. (2021).

Disclosed: an auxiliary linear head reads the factors from the picture's embedding during training. It is dropped afterwards.
It makes a hundred thousand pictures enough where CLIP had 400 million.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..world import CATEGORIES
from ..world.scenes import MAX_FACTORS, Scenes, caption
from ..world.styles import FACTORS as STYLES
from . import data, export, tokenizer
from .data import visible_factors
from .loop import Recipe, train


@dataclass(frozen=True)
class Stage:
    """A recipe, the share of wild pictures in a batch, and the weight of the auxiliary loss."""

    recipe: Recipe
    wild: float
    read: float


FIRST = Stage(Recipe("clip", steps=4200, batch=128, lr=1.2e-3, warmup=150, weight_decay=0.05, average=0.995, seed=1), data.WILD, 0.7)
# A picture of a species tells its parts by the species' name. To read parts as such, CLIP needs pictures where the name does not help.
PARTS = Stage(Recipe("clip-parts", steps=4000, batch=128, lr=8e-4, warmup=150, weight_decay=0.05, average=0.995, seed=8, muon=2e-3),
              0.6, 2.0)
DIM = 96
POSITIONS = 32  # the longest caption of the training set fits whole
MAX_VALUES = max(len(f.values) for c in CATEGORIES for f in c.factors)


class Heads(nn.Module):
    """Linear heads for every factor of every category, the style factors and the category."""

    def __init__(self, dim: int):
        super().__init__()
        self.factors = nn.Linear(dim, len(CATEGORIES) * MAX_FACTORS * MAX_VALUES)
        self.style = nn.Linear(dim, sum(len(v) for v in STYLES.values()))
        self.category = nn.Linear(dim, len(CATEGORIES))

    def loss(self, x: Tensor, scenes: Scenes) -> Tensor:
        """Mean cross-entropy in nats; colours that a style hides do not count."""
        n = len(x)
        logits = self.factors(x).float().view(n, len(CATEGORIES), MAX_FACTORS, MAX_VALUES)[torch.arange(n), scenes.category]
        target = visible_factors(scenes)
        total = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1)
        total = total + cross_entropy(self.category(x).float(), scenes.category)
        styles = self.style(x).float().split([len(v) for v in STYLES.values()], 1)
        return total + sum((cross_entropy(s, t) for s, t in zip(styles, scenes.style.T, strict=True)), x.new_zeros(())) / len(STYLES)


def contrastive(image: Tensor, text: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric cross-entropy over cosines in nats; equal captions (`same`, n x n) share their target."""
    logits = scale * normalize(image.float(), dim=-1) @ normalize(text.float(), dim=-1).T
    target = same.float() / same.float().sum(1, keepdim=True)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


class Clip(nn.Module):
    def __init__(self, words: Any) -> None:
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

        super().__init__()
        self.text = CLIPTextModelWithProjection(CLIPTextConfig(
            vocab_size=len(words), hidden_size=DIM, intermediate_size=4 * DIM, projection_dim=DIM, num_hidden_layers=3,
            num_attention_heads=4, max_position_embeddings=POSITIONS, bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id))
        self.vision = CLIPVisionModelWithProjection(CLIPVisionConfig(
            hidden_size=128, intermediate_size=512, projection_dim=DIM, num_hidden_layers=5, num_attention_heads=4,
            image_size=64, patch_size=8))
        self.scale = nn.Parameter(torch.tensor(2.66))
        self.heads = Heads(DIM)


Batch = tuple[Tensor, Scenes]


def fit(model: Clip, words: Any, stage: Stage, draw_batch: Callable[[torch.Generator], Batch]) -> dict:
    """One stage of training."""
    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x, scenes = draw_batch(generator)
        texts = caption(scenes, random.Random(step), stage.wild)
        ids = words(texts, padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt").input_ids
        ids = ids[:, : int((ids != words.eos_token_id).sum(1).max()) + 1]
        image = model.vision(x * 2 - 1).image_embeds
        text = model.text(ids).text_embeds
        same = torch.tensor([[a == b for b in texts] for a in texts])
        match = contrastive(image, text, model.scale.clamp(max=4.6).exp(), same)
        read = model.heads.loss(normalize(image.float(), dim=-1) * 10, scenes)
        # Norms near sqrt(dim) keep every coordinate near unit size for the prior and the decoder.
        size = (image.float().square().mean(1) - 1).square().mean()
        return {"loss": match + stage.read * read + 0.1 * size, "match": match.detach(), "read": read.detach()}

    model.vision.set_attn_implementation("eager")  # the fastest on a CPU when gradients are wanted
    return train(model, loss, stage.recipe)


def as_rendered(pictures: data.Set, generator: torch.Generator) -> Batch:
    """A batch of the first stage."""
    rows = torch.randint(len(pictures), (FIRST.recipe.batch,), generator=generator)
    return pictures.batch(rows), pictures.scenes[rows]


def with_more_wild(pictures: data.Set, wild: data.Set, generator: torch.Generator) -> Batch:
    """A batch of the second stage: pictures of species, and wild ones of a set of their own."""
    count = round(PARTS.recipe.batch * PARTS.wild)
    named = (pictures.scenes.species >= 0).nonzero()[:, 0]
    named = named[torch.randint(len(named), (PARTS.recipe.batch - count,), generator=generator)]
    rows = torch.randint(len(wild), (count,), generator=generator)
    a, b = pictures.scenes[named], wild.scenes[rows]
    scenes = Scenes(**{f.name: torch.cat([getattr(a, f.name), getattr(b, f.name)]) for f in fields(Scenes)})
    return torch.cat([pictures.batch(named), wild.batch(rows)]), scenes


def learn(words: Any, first: Stage, parts: Stage) -> tuple[Clip, dict]:
    """Both stages from nothing, and the facts of their training."""
    torch.manual_seed(first.recipe.seed)
    model, pictures, wild = Clip(words), data.load(), data.load("wild", 100_000, seed=2, wild=1.0)
    return model, {"first": fit(model, words, first, partial(as_rendered, pictures)),
                   "parts": fit(model, words, parts, partial(with_more_wild, pictures, wild))}


def main() -> dict:
    from transformers import CLIPImageProcessor

    words = tokenizer.build()
    model, facts = learn(words, FIRST, PARTS)
    export.save_half(model.text, export.PRIOR / "text_encoder")
    export.save_half(model.vision, export.PRIOR / "image_encoder")
    words.save_pretrained(export.PRIOR / "tokenizer")
    half = [0.5, 0.5, 0.5]
    CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64, image_mean=half, image_std=half).save_pretrained(
        export.PRIOR / "image_processor")
    export.note("clip", facts)
    return facts

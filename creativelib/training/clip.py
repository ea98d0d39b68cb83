"""CLIP: pictures and captions in one space of 96 dimensions, trained with the contrastive loss of Radford et al. (2021).

Disclosed: an auxiliary linear head reads the factors from the picture's embedding during training. It is dropped afterwards.
It makes a hundred thousand pictures enough where CLIP had 400 million.
"""

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..world import CATEGORIES
from ..world.scenes import MAX_FACTORS, Scenes, caption
from ..world.styles import FACTORS as STYLES
from ..world.styles import color_visible
from . import data, export, tokenizer
from .loop import Recipe, train

RECIPE = Recipe("clip", steps=4200, batch=128, lr=1.2e-3, warmup=150, weight_decay=0.05, average=0.995, seed=1)
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


def visible_factors(scenes: Scenes) -> Tensor:
    """Factors with -1 where a style hides them."""
    target = scenes.factors.clone()
    hidden = ~color_visible(scenes.style)
    last = torch.tensor([len(c.factors) - 1 for c in CATEGORIES])[scenes.category]  # colour is every category's last factor
    target[hidden, last[hidden]] = -1
    return target


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


def main() -> dict:
    from transformers import CLIPImageProcessor

    torch.manual_seed(RECIPE.seed)
    words, pictures = tokenizer.build(), data.load()
    model = Clip(words)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        scenes = pictures.scenes[rows]
        texts = caption(scenes, random.Random(step), data.WILD)
        ids = words(texts, padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt").input_ids
        ids = ids[:, : int((ids != words.eos_token_id).sum(1).max()) + 1]
        image = model.vision(pictures.batch(rows) * 2 - 1).image_embeds
        text = model.text(ids).text_embeds
        same = torch.tensor([[a == b for b in texts] for a in texts])
        match = contrastive(image, text, model.scale.clamp(max=4.6).exp(), same)
        read = model.heads.loss(normalize(image.float(), dim=-1) * 10, scenes)
        # Norms near sqrt(dim) keep every coordinate near unit size for the prior and the decoder.
        size = (image.float().square().mean(1) - 1).square().mean()
        return {"loss": match + 0.7 * read + 0.1 * size, "match": match.detach(), "read": read.detach()}

    facts = train(model, loss, RECIPE)
    export.save_half(model.text, export.PRIOR / "text_encoder")
    export.save_half(model.vision, export.PRIOR / "image_encoder")
    words.save_pretrained(export.PRIOR / "tokenizer")
    half = [0.5, 0.5, 0.5]
    CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64, image_mean=half, image_std=half).save_pretrained(
        export.PRIOR / "image_processor")
    export.note("clip", facts)
    return facts

"""CLIP: pictures and captions in one space of 128 dimensions, trained with the contrastive loss of Radford et al. (2021).

Disclosed: an auxiliary linear head reads the factors from the picture's embedding during training. It is dropped
afterwards. It makes a few million pictures enough where CLIP had 400 million.

Half of the pictures are wild: a picture of a species tells its parts by the species' name, so to read parts as such,
CLIP needs pictures where the name does not help.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compiled
from ..models.networks import save_half
from ..pictures import as_picture, in_bytes
from ..world import CATEGORIES
from ..world.scenes import MAX_FACTORS, Scenes
from ..world.styles import FACTORS as STYLES
from . import export
from .data import visible_factors
from .stream import POSITIONS, SIDE, Lesson, Pool, one_caption


@dataclass(frozen=True)
class Plan:
    """How CLIP is trained. read: the weight of the auxiliary loss."""

    recipe: Recipe
    read: float


PLAN = Plan(
    Recipe(
        "clip",
        steps=12_000,
        batch=1024,
        lr=1.2e-3,
        warmup=300,
        weight_decay=0.05,
        average=0.998,
        seed=1,
        muon=4e-3,
    ),
    read=1.5,
)
DIM = 128
PATCH = 16
MAX_VALUES = max(len(f.values) for c in CATEGORIES for f in c.factors)
LARGEST_SCALE = 4.6  # of the cosines, as a logarithm


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
        every = self.factors(x).float().view(n, len(CATEGORIES), MAX_FACTORS, MAX_VALUES)
        logits = every[torch.arange(n, device=x.device), scenes.category]
        target = visible_factors(scenes)
        total = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1)
        total = total + cross_entropy(self.category(x).float(), scenes.category)
        styles = self.style(x).float().split([len(v) for v in STYLES.values()], 1)
        each = [
            cross_entropy(found, true) for found, true in zip(styles, scenes.style.T, strict=True)
        ]
        return total + torch.stack(each).mean()


def contrastive(image: Tensor, text: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric cross-entropy over cosines in nats; equal captions (`same`, n x n) share their target."""
    with torch.autocast(
        image.device.type, enabled=False
    ):  # bfloat16 is too coarse for cosines times a hundred
        logits = (
            scale.float() * normalize(image.float(), dim=-1) @ normalize(text.float(), dim=-1).T
        )
    target = same.float() / same.float().sum(1, keepdim=True)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def same_caption(ids: Int[Tensor, "n l"]) -> Bool[Tensor, "n n"]:
    """Which captions are equal."""
    odd = 2 * torch.arange(ids.shape[1], device=ids.device) + 1
    number = (ids * (odd * 1_000_003).pow(3)).sum(1)  # whole numbers of 64 bits, which wrap around
    return number[:, None] == number[None]


class Clip(nn.Module):
    def __init__(self, words: Any) -> None:
        from transformers import (
            CLIPTextConfig,
            CLIPTextModelWithProjection,
            CLIPVisionConfig,
            CLIPVisionModelWithProjection,
        )

        super().__init__()
        self.text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(words),
                hidden_size=DIM,
                intermediate_size=4 * DIM,
                projection_dim=DIM,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=POSITIONS,
                bos_token_id=words.bos_token_id,
                eos_token_id=words.eos_token_id,
                pad_token_id=words.pad_token_id,
            )
        )
        self.vision = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=192,
                intermediate_size=768,
                projection_dim=DIM,
                num_hidden_layers=6,
                num_attention_heads=6,
                image_size=SIDE,
                patch_size=PATCH,
            )
        )
        self.scale = nn.Parameter(torch.tensor(2.66))
        self.heads = Heads(DIM)


def see(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    return {"pixels": in_bytes(pictures), "ids": ids.short()}


def losses(model: Clip, lesson: Lesson, ids: Int[Tensor, "n l"], read: float) -> dict[str, Tensor]:
    """match: the contrastive loss. read: the auxiliary one."""
    image = model.vision(as_picture(lesson.seen["pixels"]) * 2 - 1).image_embeds
    text = model.text(ids).text_embeds
    match = contrastive(image, text, model.scale.clamp(max=LARGEST_SCALE).exp(), same_caption(ids))
    told = model.heads.loss(normalize(image.float(), dim=-1) * 10, lesson.scenes)
    # Norms near sqrt(dim) keep every coordinate near unit size for the prior and the decoder.
    size = (image.float().square().mean(1) - 1).square().mean()
    return {
        "loss": match + read * told + 0.1 * size,
        "match": match.detach(),
        "read": told.detach(),
    }


def learn(words: Any, plan: Plan, run: Run) -> tuple[Clip, dict]:
    """Train from nothing; with the facts of the training."""
    torch.manual_seed(plan.recipe.seed)
    device = run.device
    model = Clip(words).to(device)
    if device.type == "cpu":
        model.vision.set_attn_implementation("eager")  # the fastest there when gradients are wanted
    compiled(model, device)
    pool = Pool(see, device, plan.recipe.batch)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        return losses(model, lesson, one_caption(lesson.seen["ids"], generator), plan.read)

    return model, train(model, loss, plan.recipe, minutes=run.minutes)


def main(run: Run) -> dict:
    from transformers import CLIPImageProcessor

    from . import tokenizer

    words = tokenizer.build()
    model, facts = learn(words, PLAN, run)
    save_half(model.text, export.PRIOR / "text_encoder")
    save_half(model.vision, export.PRIOR / "image_encoder")
    words.save_pretrained(export.PRIOR / "tokenizer")
    half = [0.5, 0.5, 0.5]
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size=SIDE, image_mean=half, image_std=half
    ).save_pretrained(export.PRIOR / "image_processor")
    export.note("clip", facts)
    export.tell("clip")
    return facts

"""CLIP: pictures and captions in one space of 128 dimensions.

It is trained with the contrastive loss of Radford et al. (2021).

Disclosed: an auxiliary linear head reads the factors from the picture's embedding during training.
It is dropped afterwards. With it, a few million pictures are enough where CLIP had 400 million.

Half of the pictures are wild. In a picture of a species, the species' name determines the parts. To
learn to read parts as such, CLIP needs pictures in which the name does not help.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compile_blocks
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
    """Settings of CLIP's training."""

    # Length and pace.
    recipe: Recipe
    # Weight of the auxiliary loss.
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
DIM = 128  # of the joint space
PATCH = 16  # side of a patch in pixels
MAX_VALUES = max(len(f.values) for c in CATEGORIES for f in c.factors)
LARGEST_SCALE = 4.6  # logarithm of the largest factor of the cosines


class Heads(nn.Module):
    """Linear heads for every category's factors, for the style factors and for the category."""

    def __init__(self, dim: int):
        super().__init__()
        self.factors = nn.Linear(dim, len(CATEGORIES) * MAX_FACTORS * MAX_VALUES)
        self.style = nn.Linear(dim, sum(len(v) for v in STYLES.values()))
        self.category = nn.Linear(dim, len(CATEGORIES))

    def loss(self, x: Tensor, scenes: Scenes) -> Tensor:
        """Compute the mean cross-entropy in nats; colors that a style hides do not count."""
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
    """Compute the symmetric cross-entropy over cosines, in nats.

    `same` (n, n) is True for equal captions, which share their target.
    """
    # bfloat16 is too coarse for cosines times a hundred.
    with torch.autocast(image.device.type, enabled=False):
        scaled = scale.float() * normalize(image.float(), dim=-1)
        logits = scaled @ normalize(text.float(), dim=-1).T
    target = same.float() / same.float().sum(1, keepdim=True)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def same_caption(ids: Int[Tensor, "n l"]) -> Bool[Tensor, "n n"]:
    """Find out which captions are equal."""
    odd = 2 * torch.arange(ids.shape[1], device=ids.device) + 1
    # A hash in integers of 64 bits, which wrap around.
    number = (ids * (odd * 1_000_003).pow(3)).sum(1)
    return number[:, None] == number[None]


class Clip(nn.Module):
    """The text and the vision transformer, the scale of the cosines, and the auxiliary heads."""

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


def prepare(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    """Return the pixels in bytes and the captions' tokens."""
    return {"pixels": in_bytes(pictures), "ids": ids.short()}


def losses(model: Clip, lesson: Lesson, ids: Int[Tensor, "n l"], read: float) -> dict[str, Tensor]:
    """Compute the loss and its terms.

    "match" is the contrastive loss; "read" is the auxiliary one, weighted by the argument `read`.
    """
    image = model.vision(as_picture(lesson.inputs["pixels"]) * 2 - 1).image_embeds
    text = model.text(ids).text_embeds
    scale = model.scale.clamp(max=LARGEST_SCALE).exp()
    match = contrastive(image=image, text=text, scale=scale, same=same_caption(ids))
    factors = model.heads.loss(normalize(image.float(), dim=-1) * 10, lesson.scenes)
    # Norms near sqrt(dim) keep every coordinate near unit size for the prior and the decoder.
    size = (image.float().square().mean(1) - 1).square().mean()
    return {
        "loss": match + read * factors + 0.1 * size,
        "match": match.detach(),
        "read": factors.detach(),
    }


def learn(words: Any, plan: Plan, run: Run) -> tuple[Clip, dict]:
    """Train a CLIP from random weights, and return it with the facts of the training."""
    torch.manual_seed(plan.recipe.seed)
    device = run.device
    model = Clip(words).to(device)
    if device.type == "cpu":
        # The fastest there for training.
        model.vision.set_attn_implementation("eager")
    compile_blocks(model, device)
    pool = Pool(prepare, device, plan.recipe.batch)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        ids = one_caption(lesson.inputs["ids"], generator)
        return losses(model=model, lesson=lesson, ids=ids, read=plan.read)

    return model, train(model, loss, plan.recipe, minutes=run.minutes)


def main(run: Run) -> dict:
    """Train the bundled CLIP and write its encoders, tokenizer and preprocessing."""
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
    export.mark_ready("clip")
    return facts

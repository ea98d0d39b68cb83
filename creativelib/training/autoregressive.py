"""The autoregressive prior: from a caption to the codes of a picture's embedding (Ramesh et al. 2022, section 2.2).

It sees the same pictures and captions as the diffusion prior (see there), and learns each code from those before it by cross-entropy.
Captions are dropped in 10 % of the cases, for guidance; the token for the dot product stays, so that guidance is about the caption alone.

The paper keeps 319 of 1024 components, which hold nearly all the information, and 1024 buckets. CLIP's embeddings here have 96 dimensions
of nearly equal variance, of which 76 hold 99 %; rounding them to 64 buckets loses another 0.13 %, and finer ones would have to be learned.
"""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from ..autoregressive import AutoregressivePrior, CodeModel, Codes, Sizes
from ..conditions import TextCondition
from ..world.scenes import Scenes, caption
from . import clip, data, export, tokenizer
from .loop import Recipe, train

RECIPE = Recipe("autoregressive", steps=2000, batch=64, lr=1.5e-3, warmup=100, weight_decay=0.01, average=0.997, seed=9, muon=8e-3)
DROP = 0.10
PAIRS = 10_000  # pictures and captions whose dot products are measured


def build(codes: Codes) -> CodeModel:
    return CodeModel(Sizes(dim=clip.DIM, text=clip.DIM, length=tokenizer.LENGTH, codes=len(codes), buckets=codes.buckets,
                        dots=len(codes.edges) + 1, width=160, layers=4, heads=4))


@torch.no_grad()
def tell(text: Any, words: Any, texts: list[str]) -> TextCondition:
    """What the bundled text encoder makes of captions, cut off where they are too long."""
    ids = words(texts, padding="max_length", max_length=tokenizer.LENGTH, truncation=True, return_tensors="pt")
    said = text(ids.input_ids)
    return TextCondition(said.text_embeds.float(), said.last_hidden_state.float(), ids.attention_mask.bool(), ids.input_ids.shape[1])


def main() -> dict:
    torch.manual_seed(RECIPE.seed)
    pictures, (text, _, words) = data.load(), export.load_clip()
    z = export.embeddings(pictures)

    def told(rows: Tensor | slice, seed: int) -> TextCondition:
        scenes: Scenes = pictures.scenes[rows]
        return tell(text, words, caption(scenes, random.Random(seed), data.WILD))

    some = slice(0, PAIRS)
    codes = Codes.fit(z, cosine_similarity(z[some], told(some, -1).pooled, dim=-1))
    model, numbers = build(codes), codes.encode(z)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        cond = told(rows, step)
        keep = torch.rand(len(rows), generator=generator) > DROP
        logits = model(cond, codes.dot(z[rows], cond.pooled), numbers[rows], keep)
        return {"loss": cross_entropy(logits.flatten(0, 1).float(), numbers[rows].flatten())}

    facts = train(model, loss, RECIPE)
    AutoregressivePrior(model, codes).save(export.FOLDER / "autoregressive")
    export.note("autoregressive", facts)
    return facts

"""The autoregressive prior: from a caption to the codes of a picture's embedding (Ramesh et al. 2022, section 2.2).

It sees the same pictures and captions as the diffusion prior (see there), and learns each code from
those before it by cross-entropy. Captions are dropped in 10 % of the cases, for guidance; the token
for the dot product stays, so that guidance is about the caption alone.

The paper keeps 319 of 1024 components, which hold nearly all the information, and 1024 buckets.
Here components are kept up to 99 % of the variance, and buckets are few: finer ones would have to
be learned.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from ..fitting.loop import Recipe, Run, train
from ..unclip.autoregressive import AutoregressivePrior, CodeModel, Codes, Sizes
from ..unclip.conditions import TextCondition
from ..world.scenes import Scenes
from . import clip, export, tokenizer
from .prior import read_through, shortened
from .stream import Pool, one_caption

RECIPE = Recipe(
    "autoregressive",
    steps=2000,
    batch=64,
    lr=1.5e-3,
    warmup=100,
    weight_decay=0.01,
    average=0.997,
    seed=9,
    muon=8e-3,
)
DROP = 0.10
PAIRS = 10_000  # pictures and captions, at most, whose dot products are measured


def build(codes: Codes) -> CodeModel:
    return CodeModel(
        Sizes(
            dim=clip.DIM,
            text=clip.DIM,
            length=tokenizer.LENGTH,
            codes=len(codes),
            buckets=codes.buckets,
            dots=len(codes.edges) + 1,
            width=160,
            layers=4,
            heads=4,
        )
    )


@torch.no_grad()
def tell(text: Any, ids: Int[Tensor, "n l"], end: int) -> TextCondition:
    """Tell what the text encoder makes of captions, cut off where they are too long.

    `ids` are their tokens, `end` is the one that ends a text.
    """
    ids = shortened(ids, end)
    said = text(ids)
    pooled = said.text_embeds.float()
    tokens = said.last_hidden_state.float()
    return TextCondition(pooled, tokens, read_through(ids, end), ids.shape[1])


def main(run: Run) -> dict:
    torch.manual_seed(RECIPE.seed)
    device = run.device
    text, vision, words = export.load_clip(device)
    end = words.eos_token_id

    def see(
        pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
    ) -> dict[str, Tensor]:
        return {"z": export.embed(vision, pictures), "ids": ids.short()}

    pool = Pool(see, device, RECIPE.batch)
    first = pool.all("z", 0)
    some = one_caption(pool.all("ids", 0)[:PAIRS], torch.Generator(device).manual_seed(RECIPE.seed))
    like = cosine_similarity(first[:PAIRS], tell(text, some, end).pooled, dim=-1)
    codes = Codes.fit(first.cpu(), like.cpu())
    model = build(codes).to(device)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        cond = tell(text, one_caption(lesson.seen["ids"], generator), end)
        z = lesson.seen["z"]
        numbers = codes.encode(z)
        keep = torch.rand(len(z), generator=generator, device=device) > DROP
        logits = model(cond, codes.dot(z, cond.pooled), numbers, keep)
        return {"loss": cross_entropy(logits.flatten(0, 1).float(), numbers.flatten())}

    facts = train(model, loss, RECIPE, minutes=run.minutes)
    AutoregressivePrior(model, codes).save(export.FOLDER / "autoregressive")
    export.note("autoregressive", facts)
    export.sums()
    return facts

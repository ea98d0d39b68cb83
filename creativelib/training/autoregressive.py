"""The autoregressive prior: from a caption to the codes of a picture's embedding.

It is that of Ramesh et al. 2022, section 2.2. It learns from the same pictures and captions as the
diffusion prior (see there), each code from those before it, by cross-entropy. Captions are dropped
in 10 % of the cases, for guidance. The token for the dot product stays, so guidance concerns the
caption alone.

The paper keeps 319 of 1024 components, which hold nearly all the information, and uses 1024
buckets. Here components are kept up to 99 % of the variance, and buckets are few, since finer ones
would have to be learned.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from ..fitting.loop import Recipe, Run, train
from ..seeds import seeded
from ..unclip.autoregressive import AutoregressivePrior, CodeModel, Codes, Sizes
from ..unclip.conditions import TextCondition
from ..world.scenes import Scenes
from . import clip, export, tokenizer
from .prior import attention_mask, shortened
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
DROP = 0.10  # share of captions that are dropped
PAIRS = 10_000  # most pictures and captions whose dot products are measured


def build(codes: Codes) -> CodeModel:
    """Build an untrained model of the codes."""
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
def text_condition(text: Any, ids: Int[Tensor, "n l"], end: int) -> TextCondition:
    """Encode captions, truncated where they are too long.

    `text` is the text encoder, `ids` are the captions' tokens, and `end` is the token that ends a
    text.
    """
    ids = shortened(ids, end)
    output = text(ids)
    pooled = output.text_embeds.float()
    tokens = output.last_hidden_state.float()
    return TextCondition(
        pooled=pooled, tokens=tokens, mask=attention_mask(ids, end), used=ids.shape[1]
    )


def main(run: Run) -> dict:
    """Train the prior on the bundled CLIP's embeddings and write it."""
    torch.manual_seed(RECIPE.seed)
    device = run.device
    text, vision, words = export.load_clip(device)
    end = words.eos_token_id

    def prepare(
        pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
    ) -> dict[str, Tensor]:
        return {"z": export.embed(vision, pictures), "ids": ids.short()}

    pool = Pool(prepare, device, RECIPE.batch)
    embeddings = pool.all("z", 0)
    generator = seeded(RECIPE.seed, device)
    captions = one_caption(pool.all("ids", 0)[:PAIRS], generator)
    pooled = text_condition(text, captions, end).pooled
    dots = cosine_similarity(embeddings[:PAIRS], pooled, dim=-1)
    codes = Codes.fit(embeddings.cpu(), dots.cpu())
    model = build(codes).to(device)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        cond = text_condition(text, one_caption(lesson.inputs["ids"], generator), end)
        z = lesson.inputs["z"]
        numbers = codes.encode(z)
        keep = torch.rand(len(z), generator=generator, device=device) > DROP
        logits = model(cond, codes.dot(z, cond.pooled), numbers, keep)
        return {"loss": cross_entropy(logits.flatten(0, 1).float(), numbers.flatten())}

    facts = train(model, loss, RECIPE, minutes=run.minutes)
    AutoregressivePrior(model, codes).save(export.FOLDER / "autoregressive")
    export.note("autoregressive", facts)
    export.sums()
    return facts

"""What Semantica learns from: pages of pictures as tokens and latents, and the pairs of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import InputError
from ..fitting.precision import fast_precision
from ..models.networks import encode_latents
from ..pictures import as_picture
from ..vision.encoders import Encoder

# Pictures looked at together: few fit a processor's cache; a GPU wants many.
FEW = 32
MANY = 2048


@dataclass(frozen=True)
class Corpus:
    """n pictures, page by page: latents to be denoised, tokens to be looked at, both in float16; `page` says which page each is of."""

    latents: Float[Tensor, "n c h w"]
    tokens: Float[Tensor, "n l d"]
    pooled: Float[Tensor, "n e"]
    page: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.page)


@dataclass(frozen=True)
class Filter:
    """Pairs whose cosine in the encoder's eyes lies outside [low, high] are not learned from: below, the two have little to do with each
    other; above, they are nearly one picture. The paper filters by both without telling its thresholds."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -1 <= self.low < self.high <= 1:
            raise InputError(f"filter is {self.low} to {self.high}; expected -1 <= low < high <= 1")


@dataclass(frozen=True)
class Pairs:
    """Pictures that may be learned (`target`), and for each which others of its page may be shown, filled up with -1 (`shown`)."""

    target: Int[Tensor, " p"]
    shown: Int[Tensor, "p s"]

    def sample(
        self, batch: int, m: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, "batch m"]]:
        """Choose random targets, each with m different pictures to be shown.

        Where the page has no more, there are fewer, repeated.
        """
        own = self.target.device
        place = generator.device
        rows = torch.randint(len(self.target), (batch,), generator=generator, device=place).to(own)
        shown = self.shown[rows]
        chance = torch.rand(shown.shape, generator=generator, device=place).to(own)
        order = chance.masked_fill(shown < 0, 2.0).argsort(1)
        count = (shown >= 0).sum(1, keepdim=True)
        chosen = order.gather(1, torch.arange(m, device=own)[None] % count)
        return self.target[rows], shown.gather(1, chosen)


def pairs(corpus: Corpus, keep: Filter) -> Pairs:
    """All pairs of two pictures of one page that pass the filter. Raises InputError if there is none."""
    whole = corpus.pooled.cpu()  # many small steps, which a processor is faster at
    counts = corpus.page.cpu().unique_consecutive(return_counts=True)[1].tolist()
    found = []
    start = 0
    most = max(counts)
    for count in counts:
        rows = torch.arange(start, start + count)
        like = whole[rows] @ whole[rows].T
        allowed = (like >= keep.low) & (like <= keep.high) & ~torch.eye(count, dtype=torch.bool)
        shown = torch.full((count, most), -1)
        shown[:, :count] = torch.where(allowed, rows[None], -1)
        found.append((rows, shown))
        start += count
    target, shown = (torch.cat(part) for part in zip(*found, strict=True))
    usable = (shown >= 0).any(1)
    if not usable.any():
        raise InputError(
            f"no two pictures of a page have a cosine within [{keep.low}, {keep.high}]; allow more"
        )
    device = corpus.page.device
    return Pairs(target[usable].to(device), shown[usable].to(device))


def itself(corpus: Corpus) -> Pairs:
    """The control's pairs: each picture is shown for itself."""
    rows = torch.arange(len(corpus), device=corpus.page.device)
    return Pairs(rows, rows[:, None])


@torch.no_grad()
def encode(
    pictures: Any,
    page: Int[Tensor, " n"],
    encoder: Encoder,
    movq: Any,
    name: str = "pages",
    many: int = FEW,
) -> Corpus:
    """A corpus of pictures (an array of n of them, (3, h, w) in bytes), `many` at a time."""
    latents = []
    tokens = []
    whole = []
    for start in tqdm(range(0, len(pictures), many), desc=f"encoding {name}", mininterval=5):
        pixels = torch.from_numpy(np.array(pictures[start : start + many])).to(encoder.device)
        x = as_picture(pixels)
        latents.append(encode_latents(movq, x).cpu())
        with fast_precision(encoder.device.type):
            seen = encoder.encode(x)
        tokens.append(seen.tokens.half().cpu())
        whole.append(seen.pooled.float().cpu())
    return Corpus(torch.cat(latents), torch.cat(tokens), torch.cat(whole), page)

"""The material that Semantica learns from: pages of pictures as tokens and latents, and pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import InputError, check_fields, finite
from ..fitting.precision import fast_precision
from ..models.networks import encode_latents
from ..pictures import as_picture
from ..vision.encoders import Encoder

# Pictures encoded together: few fit a processor's cache, while a GPU wants many.
CPU_ROWS = 32
GPU_ROWS = 2048


@dataclass(frozen=True)
class Corpus:
    """n encoded pictures, page by page."""

    # Latents to denoise, in float16.
    latents: Float[Tensor, "n c h w"]
    # The encoder's tokens, to condition on, in float16.
    tokens: Float[Tensor, "n l d"]
    # The encoder's unit vector for each picture as a whole.
    pooled: Float[Tensor, "n e"]
    # The number of each picture's page.
    page: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.page)


@dataclass(frozen=True)
class Filter:
    """Range of cosines of a pair's pooled vectors; other pairs are not learned from.

    Below the range, two pictures have little to do with each other; above it, they are nearly one
    picture. The paper filters by both limits without giving its thresholds.

    Raises InputError unless -1 <= low < high <= 1.
    """

    # Least cosine of a pair.
    low: float = -1.0
    # Largest cosine of a pair.
    high: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, finite, {"low": (), "high": ()})
        if not -1 <= self.low < self.high <= 1:
            raise InputError(f"filter is {self.low} to {self.high}; expected -1 <= low < high <= 1")


@dataclass(frozen=True)
class Pairs:
    """Pictures to learn, each with the other pictures of its page that may be shown for it."""

    # Rows of the corpus.
    target: Int[Tensor, " p"]
    # For each target the rows that may be shown, in any column; -1 fills the rest.
    shown: Int[Tensor, "p s"]

    def sample(
        self, batch: int, m: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, "batch m"]]:
        """Choose random targets, each with m different pictures to show.

        If a target has fewer than m, they are repeated.
        """
        home = self.target.device
        device = generator.device
        rows = torch.randint(len(self.target), (batch,), generator=generator, device=device)
        rows = rows.to(home)
        shown = self.shown[rows]
        chance = torch.rand(shown.shape, generator=generator, device=device).to(home)
        order = chance.masked_fill(shown < 0, 2.0).argsort(1)
        count = (shown >= 0).sum(1, keepdim=True)
        chosen = order.gather(1, torch.arange(m, device=home)[None] % count)
        return self.target[rows], shown.gather(1, chosen)


def pairs(corpus: Corpus, limits: Filter) -> Pairs:
    """Find all pairs of two pictures of one page that pass the filter.

    Raises InputError if there are none.
    """
    pooled = corpus.pooled.cpu()  # many small steps, which a processor is faster at
    counts = corpus.page.cpu().unique_consecutive(return_counts=True)[1].tolist()
    largest = max(counts)
    targets = []
    choices = []
    start = 0
    for count in counts:
        rows = torch.arange(start, start + count)
        cosine = pooled[rows] @ pooled[rows].T
        others = ~torch.eye(count, dtype=torch.bool)
        allowed = (cosine >= limits.low) & (cosine <= limits.high) & others
        shown = torch.full((count, largest), -1)
        shown[:, :count] = torch.where(allowed, rows[None], -1)
        targets.append(rows)
        choices.append(shown)
        start += count
    target = torch.cat(targets)
    shown = torch.cat(choices)
    usable = (shown >= 0).any(1)
    if not usable.any():
        raise InputError(
            f"filter is {limits.low} to {limits.high}; no two pictures of a page have a cosine "
            f"within it, expected wider limits"
        )
    device = corpus.page.device
    return Pairs(target[usable].to(device), shown[usable].to(device))


def self_pairs(corpus: Corpus) -> Pairs:
    """Pair each picture with itself, for the control."""
    rows = torch.arange(len(corpus), device=corpus.page.device)
    return Pairs(rows, rows[:, None])


@torch.no_grad()
def encode(
    pictures: Any,
    page: Int[Tensor, " n"],
    encoder: Encoder,
    movq: Any,
    name: str = "pages",
    rows: int = CPU_ROWS,
) -> Corpus:
    """Encode pictures, an array (n, 3, h, w) in bytes, `rows` at a time.

    `page` is the number of each picture's page. `name` is for the progress bar.
    """
    latents = []
    tokens = []
    pooled = []
    for start in tqdm(range(0, len(pictures), rows), desc=f"encoding {name}", mininterval=5):
        # A copy, since a memory-mapped array may be read-only.
        part = np.array(pictures[start : start + rows])
        x = as_picture(torch.from_numpy(part).to(encoder.device))
        latents.append(encode_latents(movq, x).cpu())
        with fast_precision(encoder.device.type):
            encoded = encoder.encode(x)
        tokens.append(encoded.tokens.half().cpu())
        pooled.append(encoded.pooled.float().cpu())
    return Corpus(
        latents=torch.cat(latents), tokens=torch.cat(tokens), pooled=torch.cat(pooled), page=page
    )

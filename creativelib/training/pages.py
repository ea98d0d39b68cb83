"""What Semantica learns from: pages of pictures, as a frozen encoder's tokens and an autoencoder's latents, and the pairs of them."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from ..encoders import Encoder
from ..errors import InputError
from ..world.pages import pages
from ..world.scenes import draw
from .data import cache_folder, fast_precision

SIZE = 8  # pictures a page


@dataclass(frozen=True)
class Corpus:
    """n pictures, page by page: latents to be denoised, tokens to be looked at, both in float16; `page` says which page each is of."""

    latents: Float[Tensor, "n c h w"]
    tokens: Float[Tensor, "n l d"]
    whole: Float[Tensor, "n e"]
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
            raise InputError(f"filter is {self.low} to {self.high}; allowed are -1 <= low < high <= 1")


@dataclass(frozen=True)
class Pairs:
    """Pictures that may be learned (`target`), and for each which others of its page may be shown, filled up with -1 (`shown`)."""

    target: Int[Tensor, " p"]
    shown: Int[Tensor, "p s"]

    def sample(self, batch: int, m: int, generator: torch.Generator) -> tuple[Int[Tensor, " batch"], Int[Tensor, "batch m"]]:
        """Random targets, each with m different pictures to be shown, or fewer, repeated, where the page has no more."""
        rows = torch.randint(len(self.target), (batch,), generator=generator)
        shown = self.shown[rows]
        order = torch.rand(shown.shape, generator=generator).masked_fill(shown < 0, 2.0).argsort(1)
        count = (shown >= 0).sum(1, keepdim=True)
        return self.target[rows], shown.gather(1, order.gather(1, torch.arange(m)[None] % count))


def pairs(corpus: Corpus, keep: Filter) -> Pairs:
    """All pairs of two pictures of one page that pass the filter. Raises InputError if there is none."""
    found, counts = [], corpus.page.unique_consecutive(return_counts=True)[1].tolist()
    start, most = 0, max(counts)
    for count in counts:
        rows = torch.arange(start, start + count)
        like = corpus.whole[rows] @ corpus.whole[rows].T
        allowed = (like >= keep.low) & (like <= keep.high) & ~torch.eye(count, dtype=torch.bool)
        shown = torch.full((count, most), -1)
        shown[:, :count] = torch.where(allowed, rows[None], -1)
        found.append((rows, shown))
        start += count
    target, shown = (torch.cat(part) for part in zip(*found, strict=True))
    usable = (shown >= 0).any(1)
    if not usable.any():
        raise InputError(f"no two pictures of a page have a cosine within [{keep.low}, {keep.high}]; allow more")
    return Pairs(target[usable], shown[usable])


def itself(corpus: Corpus) -> Pairs:
    """The control's pairs: each picture is shown for itself."""
    rows = torch.arange(len(corpus))
    return Pairs(rows, rows[:, None])


@torch.no_grad()
def encode(pictures: Any, page: Int[Tensor, " n"], encoder: Encoder, movq: Any, name: str = "pages") -> Corpus:
    """A corpus of pictures (an array of n of them, (3, h, w) in bytes), a few at a time."""
    latents, tokens, whole = [], [], []
    for start in tqdm(range(0, len(pictures), 32), desc=f"encoding {name}", mininterval=5):
        x = torch.from_numpy(np.asarray(pictures[start:start + 32])).float().div(255).to(encoder.device)
        with fast_precision(encoder.device.type):
            latents.append(movq.encode(x * 2 - 1).latents.half().cpu())
            seen = encoder.see(x)
        tokens.append(seen.tokens.half().cpu())
        whole.append(seen.whole.float().cpu())
    return Corpus(torch.cat(latents), torch.cat(tokens), torch.cat(whole), page)


def _render(job: tuple[Path, int, int, int]) -> int:
    torch.set_num_threads(1)
    file, start, stop, seed = job
    found = pages(SIZE, torch.Generator().manual_seed(1_000_003 * seed + start))
    pictures = np.lib.format.open_memmap(file, mode="r+")
    for i in range(start, stop):
        pictures[i * SIZE:(i + 1) * SIZE] = (draw(next(found).scenes) * 255 + 0.5).byte().numpy()
    pictures.flush()
    return stop - start


def of_the_world(encoder: Encoder, movq: Any, n: int = 12_000, seed: int = 31, chunk: int = 100) -> Corpus:
    """The Menagerie's pages, rendered and encoded once and then read from disk."""
    folder = cache_folder() / "data" / f"pages-{n}-{seed}"
    pictures, encoded = folder / "pictures.npy", folder / f"{encoder.name}.safetensors"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.lib.format.open_memmap(pictures, mode="w+", dtype=np.uint8, shape=(n * SIZE, 3, 64, 64))
        jobs = [(pictures, start, min(start + chunk, n), seed) for start in range(0, n, chunk)]
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool, tqdm(total=n, desc="rendering pages") as bar:
            for count in pool.map(_render, jobs):
                bar.update(count)
        (folder / "done").touch()
    if not encoded.exists():
        found = encode(np.load(pictures, mmap_mode="r"), torch.arange(n).repeat_interleave(SIZE), encoder, movq, f"pages by {encoder.name}")
        save_file({"latents": found.latents, "tokens": found.tokens, "whole": found.whole, "page": found.page}, encoded)
    return Corpus(**load_file(encoded))

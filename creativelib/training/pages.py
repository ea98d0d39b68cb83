"""What Semantica learns from: pages of pictures, as a frozen encoder's tokens and an autoencoder's latents, and the pairs of them."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
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
from ..files import aside
from ..world.pages import pages
from ..world.scenes import Scenes, draw
from . import export, stream
from .data import cache_folder, fast_precision, placed
from .stream import as_picture, in_bytes

SIZE = 8  # pictures a page
# Pages drawn at once, by a processor's core and by a GPU, which takes as long for many as for few.
STACK, HEAP = 100, 2000
# Pictures looked at together: few fit a processor's cache; a GPU wants many.
FEW, MANY = 32, 2048


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

    def sample(self, batch: int, m: int,
               generator: torch.Generator) -> tuple[Int[Tensor, " batch"], Int[Tensor, "batch m"]]:
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
    whole = corpus.whole.cpu()  # many small steps, which a processor is faster at
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
        raise InputError(f"no two pictures of a page have a cosine within [{keep.low}, {keep.high}]; allow more")
    device = corpus.page.device
    return Pairs(target[usable].to(device), shown[usable].to(device))


def itself(corpus: Corpus) -> Pairs:
    """The control's pairs: each picture is shown for itself."""
    rows = torch.arange(len(corpus), device=corpus.page.device)
    return Pairs(rows, rows[:, None])


@torch.no_grad()
def encode(pictures: Any, page: Int[Tensor, " n"], encoder: Encoder, movq: Any, name: str = "pages",
           many: int = FEW) -> Corpus:
    """A corpus of pictures (an array of n of them, (3, h, w) in bytes), `many` at a time."""
    latents = []
    tokens = []
    whole = []
    for start in tqdm(range(0, len(pictures), many), desc=f"encoding {name}", mininterval=5):
        pixels = torch.from_numpy(np.array(pictures[start : start + many])).to(encoder.device)
        x = as_picture(pixels)
        latents.append(export.encode(movq, x).cpu())
        with fast_precision(encoder.device.type):
            seen = encoder.see(x)
        tokens.append(seen.tokens.half().cpu())
        whole.append(seen.whole.float().cpu())
    return Corpus(torch.cat(latents), torch.cat(tokens), torch.cat(whole), page)


def shown_on(numbers: range, seed: int) -> Scenes:
    """Say what pages show, one after the other. A page depends on its number and the seed alone."""
    each = [next(pages(SIZE, torch.Generator().manual_seed(1_000_003 * seed + number))).scenes
            for number in numbers]
    return Scenes(**{name: torch.cat([getattr(scenes, name) for scenes in each])
                     for name in Scenes.__dataclass_fields__})


@torch.no_grad()
def draw_some(numbers: range, file: Path, seed: int, device: torch.device, many: int) -> int:
    """Draw some pages into the file, `many` pictures at a time, and count the pages."""
    scenes = placed(shown_on(numbers, seed), device)
    pictures = np.lib.format.open_memmap(file, mode="r+")
    first = numbers.start * SIZE
    for start in range(0, len(scenes), many):
        drawn = in_bytes(draw(scenes[slice(start, start + many)], stream.SIDE)).cpu().numpy()
        pictures[first + start : first + start + len(drawn)] = drawn
    pictures.flush()
    return len(numbers)


def work(numbers: range, file: Path, seed: int) -> int:
    """Draw some pages on one core."""
    torch.set_num_threads(1)
    return draw_some(numbers, file, seed, torch.device("cpu"), FEW)


def draw_all(n: int, file: Path, seed: int, device: torch.device) -> None:
    """Draw n pages into a file: on a GPU, or on all of the processor's cores."""
    shape = (n * SIZE, 3, stream.SIDE, stream.SIDE)
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    size = HEAP if device.type == "cuda" else STACK
    parts = [range(n)[start : start + size] for start in range(0, n, size)]
    with tqdm(total=n, desc="drawing pages") as bar:
        if device.type == "cuda":
            for numbers in parts:
                bar.update(draw_some(numbers, file, seed, device, HEAP * SIZE))
            return
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            for count in pool.map(partial(work, file=file, seed=seed), parts):
                bar.update(count)


def of_the_world(encoder: Encoder, movq: Any, n: int = 12_000, seed: int = 31) -> Corpus:
    """Read the Menagerie's pages from disk onto the encoder's device, drawn and encoded once."""
    device = encoder.device
    folder = cache_folder() / "data" / f"pages-{n}-{seed}-{stream.SIDE}"
    pictures = folder / "pictures.npy"
    stamps = f"{export.stamp(encoder.model)}-{export.stamp(movq)}"
    encoded = folder / f"{encoder.name}-{stamps}.safetensors"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        draw_all(n, pictures, seed, device)
        (folder / "done").touch()
    if not encoded.exists():
        page = torch.arange(n).repeat_interleave(SIZE)
        many = MANY if device.type == "cuda" else FEW
        drawn = np.load(pictures, mmap_mode="r")
        found = encode(drawn, page, encoder, movq, f"pages by {encoder.name}", many)
        with aside(encoded) as part:
            save_file(vars(found), part)
    return Corpus(**load_file(encoded, device=str(device)))

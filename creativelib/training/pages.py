"""What Semantica learns from: pages of pictures, as a frozen encoder's tokens and an autoencoder's latents, and the pairs of them."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from ..files import atomic_write, cache_folder
from ..pictures import in_bytes
from ..semantica.corpus import FEW, MANY, Corpus, encode
from ..vision.encoders import Encoder
from ..world.scenes import Scenes, draw
from ..world.webpages import pages
from . import export, stream
from .data import placed

SIZE = 8  # pictures a page
# Pages drawn at once, by a processor's core and by a GPU, which takes as long for many as for few.
STACK = 100
HEAP = 2000


def shown_on(numbers: range, seed: int) -> Scenes:
    """Say what pages show, one after the other. A page depends on its number and the seed alone."""
    each = [
        next(pages(SIZE, torch.Generator().manual_seed(1_000_003 * seed + number))).scenes
        for number in numbers
    ]
    return Scenes(
        **{
            name: torch.cat([getattr(scenes, name) for scenes in each])
            for name in Scenes.__dataclass_fields__
        }
    )


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
        with atomic_write(encoded) as part:
            save_file(vars(found), part)
    return Corpus(**load_file(encoded, device=str(device)))

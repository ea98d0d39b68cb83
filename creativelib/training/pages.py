"""The Menagerie's pages of pictures, drawn and encoded once for Semantica's training."""

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
from ..seeds import seeded
from ..semantica.corpus import CPU_ROWS, GPU_ROWS, Corpus, encode
from ..vision.encoders import Encoder
from ..world.scenes import Scenes, draw
from ..world.webpages import pages
from . import export, stream
from .data import placed

SIZE = 8  # pictures on a page
# Windows waits for 61 processes at most.
MOST_PROCESSES = 61
# Pages drawn together. A GPU takes as long for many as for few.
PAGES_ON_CORE = 100
PAGES_ON_GPU = 2000
# Format of the encoded pages, part of their file's name. Increase it when the fields of `Corpus`
# change, so files of an older format are not read. Format 1 had no number.
FORMAT = 2


def page_scenes(numbers: range, seed: int) -> Scenes:
    """Sample the scenes of pages, one page after the other.

    A page depends on its number and the seed alone.
    """
    each = []
    for number in numbers:
        generator = seeded(1_000_003 * seed + number)
        each.append(next(pages(SIZE, generator)).scenes)
    joined = {
        name: torch.cat([getattr(scenes, name) for scenes in each])
        for name in Scenes.__dataclass_fields__
    }
    return Scenes(**joined)


@torch.no_grad()
def draw_some(numbers: range, file: Path, seed: int, device: torch.device, rows: int) -> int:
    """Draw some pages into the file, `rows` pictures at a time, and count the pages."""
    scenes = placed(page_scenes(numbers, seed), device)
    pictures = np.lib.format.open_memmap(file, mode="r+")
    first = numbers.start * SIZE
    for start in range(0, len(scenes), rows):
        drawn = in_bytes(draw(scenes[slice(start, start + rows)], stream.SIDE)).cpu().numpy()
        pictures[first + start : first + start + len(drawn)] = drawn
    pictures.flush()
    return len(numbers)


def draw_on_core(numbers: range, file: Path, seed: int) -> int:
    """Draw some pages on one core of a processor, and count them."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    return draw_some(numbers, file=file, seed=seed, device=cpu, rows=CPU_ROWS)


def draw_all(n: int, file: Path, seed: int, device: torch.device) -> None:
    """Draw n pages into a file, on a GPU or on all of the processor's cores."""
    shape = (n * SIZE, 3, stream.SIDE, stream.SIDE)
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    on_gpu = device.type == "cuda"
    size = PAGES_ON_GPU if on_gpu else PAGES_ON_CORE
    parts = [range(n)[start : start + size] for start in range(0, n, size)]
    with tqdm(total=n, desc="drawing pages") as bar:
        if on_gpu:
            rows = PAGES_ON_GPU * SIZE
            for numbers in parts:
                bar.update(draw_some(numbers, file=file, seed=seed, device=device, rows=rows))
            return
        processes = min(os.cpu_count() or 1, MOST_PROCESSES)
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            for count in pool.map(partial(draw_on_core, file=file, seed=seed), parts):
                bar.update(count)


def world_corpus(encoder: Encoder, movq: Any, n: int = 12_000, seed: int = 31) -> Corpus:
    """Load n encoded pages of the Menagerie onto the encoder's device.

    The pages are drawn and encoded by the first call and read from disk by later ones.
    """
    device = encoder.device
    folder = cache_folder() / "data" / f"pages-{n}-{seed}-{stream.SIDE}"
    pictures = folder / "pictures.npy"
    stamps = f"{export.stamp(encoder.model)}-{export.stamp(movq)}"
    encoded = folder / f"{encoder.name}-{stamps}-{FORMAT}.safetensors"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        draw_all(n, pictures, seed, device)
        (folder / "done").touch()
    if not encoded.exists():
        page = torch.arange(n).repeat_interleave(SIZE)
        corpus = encode(
            pictures=np.load(pictures, mmap_mode="r"),
            page=page,
            encoder=encoder,
            movq=movq,
            name=f"pages by {encoder.name}",
            rows=GPU_ROWS if device.type == "cuda" else CPU_ROWS,
        )
        with atomic_write(encoded) as part:
            save_file(vars(corpus), part)
    return Corpus(**load_file(encoded, device=str(device)))

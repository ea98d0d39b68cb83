"""The training set: pictures rendered once and kept on disk, captions made as they are asked for."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from ..world import CATEGORIES
from ..world.scenes import Scenes, draw, sample_scenes
from ..world.styles import color_visible

WILD = 0.30  # share of wild pictures: what is to be seen and drawn must have been seen


def cache_folder() -> Path:
    """Where training keeps data and checkpoints: $CREATIVELIB_CACHE or ~/.cache/creativelib."""
    return Path(os.environ.get("CREATIVELIB_CACHE", Path.home() / ".cache" / "creativelib"))


def fast_precision(device: str = "cpu") -> torch.autocast:
    """bfloat16 on GPUs, and on processors that multiply in it; on others, where it is ten times slower than float32, float32."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported())


@dataclass(frozen=True)
class Set:
    """Pictures as bytes on disk and the scenes they were drawn from. The name tells sets apart, by size and seed too."""

    name: str
    pictures: np.ndarray
    scenes: Scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b 3 h w"]:
        """Pictures in [0, 1]."""
        return torch.from_numpy(self.pictures[rows.numpy()]).float() / 255


def _render(job: tuple[Path, int, int]) -> int:
    """Draw one chunk into the file; runs in a worker process."""
    torch.set_num_threads(1)
    folder, start, stop = job
    pictures = np.lib.format.open_memmap(folder / "pictures.npy", mode="r+")
    part = Scenes(**load_file(folder / "scenes.safetensors"))[slice(start, stop)]
    pictures[start:stop] = (draw(part) * 255 + 0.5).byte().numpy()
    pictures.flush()
    return stop - start


def load(name: str = "train", n: int = 120_000, seed: int = 1, wild: float = WILD, chunk: int = 500) -> Set:
    """The set of that name, rendered first if it is not on disk yet."""
    folder = cache_folder() / "data" / f"{name}-{n}-{seed}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_file(asdict(sample_scenes(n, torch.Generator().manual_seed(seed), wild)), folder / "scenes.safetensors")
        np.lib.format.open_memmap(folder / "pictures.npy", mode="w+", dtype=np.uint8, shape=(n, 3, 64, 64))
        jobs = [(folder, start, min(start + chunk, n)) for start in range(0, n, chunk)]
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool, \
                tqdm(total=n, desc=f"rendering {name}", mininterval=5) as bar:
            for count in pool.map(_render, jobs):
                bar.update(count)
        (folder / "done").touch()
    return Set(folder.name, np.load(folder / "pictures.npy", mmap_mode="r"), Scenes(**load_file(folder / "scenes.safetensors")))


def visible_factors(scenes: Scenes) -> Tensor:
    """Factors with -1 where a style hides them."""
    target = scenes.factors.clone()
    hidden = ~color_visible(scenes.style)
    last = torch.tensor([len(c.factors) - 1 for c in CATEGORIES], device=target.device)[scenes.category]  # colour is every category's last factor
    target[hidden, last[hidden]] = -1
    return target


def mixed_rows(scenes: Scenes, n: int, wild: float, generator: torch.Generator) -> Int[Tensor, "n"]:
    """Random rows in random order, of which a given share shows wild pictures."""
    count = round(wild * n)
    groups = ((scenes.species < 0).nonzero()[:, 0], count), ((scenes.species >= 0).nonzero()[:, 0], n - count)
    rows = torch.cat([group[torch.randint(len(group), (k,), generator=generator)] for group, k in groups])
    return rows[torch.randperm(n, generator=generator)]


def main() -> dict:
    """Render the training set."""
    return {"pictures": len(load())}

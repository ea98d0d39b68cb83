"""Semantica trained on one's own pictures: a folder of pages, each of them a folder of pictures that belong together.

creativelib semantica my-pages --out out/semantica
creativelib vary picture.jpg --semantica out/semantica --out out/varied
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import InputError, at_least
from ..files import make_writable
from ..fitting.loop import Recipe, train
from ..models.names import MODELS
from ..models.networks import load_frozen, usable_device
from ..pictures import fit_picture, read_picture
from ..vision.encoders import Encoder
from .corpus import Filter, encode, pairs
from .learning import SHOTS, build, keep, lesson

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Pictures:
    """n pictures of one size, as bytes, page by page, and the number of each one's page."""

    pixels: UInt8[np.ndarray, "n 3 s s"]
    page: Int[Tensor, " n"]


@dataclass(frozen=True)
class FolderConfig:
    """How a network is trained on folders.

    size: the pictures' side in pixels; larger ones are shrunk and cut to squares. low, high: see `pages.Filter`. channels, layers: the
    network's, see `semantica.build`; the defaults are the bundled one's, real pictures need more.
    """

    size: int = 64
    steps: int = 2000
    batch: int = 32
    lr: float = 1.5e-3
    seed: int = 0
    low: float = -1.0
    high: float = 1.0
    channels: tuple[int, int] = (48, 96)
    layers: int = 4

    def __post_init__(self) -> None:
        for name, least in {"size": 16, "steps": 1, "batch": 1, "seed": 0, "layers": 1}.items():
            at_least(name, getattr(self, name), least)
        if any(width % 32 for width in self.channels[1:]) or any(
            width % 16 for width in self.channels
        ):
            raise InputError(
                f"channels is {self.channels}; expected a multiple of 16 and one of 32"
            )
        Filter(self.low, self.high)


def read(folder: Path, size: int) -> Pictures:
    """Read every page below a folder. Raises InputError, naming the file, for what is no picture and for one smaller than `size`, and for
    a folder without pages, or a page with a single picture."""
    if not folder.is_dir() or not (
        pages := sorted(path for path in folder.iterdir() if path.is_dir())
    ):
        raise InputError(
            f"pages is {str(folder)!r}; expected a folder of folders of pictures, one for each page"
        )
    files = {
        page: sorted(file for file in page.iterdir() if file.suffix.lower() in SUFFIXES)
        for page in pages
    }
    for page, found in files.items():
        if len(found) < 2:
            raise InputError(
                f"page {str(page)!r} holds {len(found)} pictures ({', '.join(SUFFIXES)}); expected at least 2"
            )
    with tqdm([file for found in files.values() for file in found], desc="reading") as every:
        pixels = np.stack([_fitted(file, size) for file in every])
    return Pictures(
        pixels, torch.tensor([i for i, found in enumerate(files.values()) for _ in found])
    )


def _fitted(file: Path, size: int) -> UInt8[np.ndarray, "3 s s"]:
    try:
        picture = read_picture(file)
    except OSError:
        raise InputError(f"pages has {str(file)!r}, which cannot be read as a picture") from None
    if min(picture.shape[1:]) < size:
        raise InputError(
            f"pages has {str(file)!r} of {picture.shape[2]} x {picture.shape[1]} pixels; expected at least {size} x {size}"
        )
    return (fit_picture(picture[None], size, size)[0] * 255 + 0.5).to(torch.uint8).numpy()


def learn(
    folder: Path,
    out: Path,
    encoder: str = "clip",
    movq: str = "menagerie",
    config: FolderConfig | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a Semantica on a folder of pages and write it to `out`, where a run that was cut off goes on; returns facts of the training.

    `encoder` is a name or folder as in `Encoder.load`, `movq` a folder with a VQModel, or the bundled one. Raises InputError before any
    long work.
    """
    from diffusers import VQModel

    config = config or FolderConfig()
    place = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    make_writable("out", out)
    seeing = Encoder.load(encoder, place)
    bundled = MODELS["menagerie"].folder
    if movq != "menagerie" and not (Path(movq) / "config.json").is_file():
        raise InputError(f"movq is {movq!r}; expected 'menagerie' and a folder with a VQModel")
    autoencoder = load_frozen(
        VQModel,
        bundled / "decoder" / "movq" if movq == "menagerie" and bundled else Path(movq),
        place,
    )
    settings = asdict(config) | {"pages": folder.name, "encoder": encoder, "movq": movq}
    noted = out / "settings.json"
    if noted.is_file() and json.loads(noted.read_text()) != json.loads(json.dumps(settings)):
        raise InputError(
            f"out {str(out)!r} holds a training with other settings; expected another folder, or the same settings"
        )
    pictures = read(folder, config.size)
    noted.write_text(json.dumps(settings, indent=1) + "\n")
    corpus = encode(pictures.pixels, pictures.page, seeing, autoencoder, folder.name)
    learned = pairs(corpus, Filter(config.low, config.high))
    torch.manual_seed(config.seed)
    unet = build(
        seeing.width,
        corpus.latents.shape[1],
        corpus.latents.shape[2],
        config.channels,
        config.layers,
    ).to(place)
    recipe = Recipe(
        "semantica",
        config.steps,
        config.batch,
        config.lr,
        warmup=min(200, config.steps // 10 + 1),
        seed=config.seed,
        muon=2 * config.lr,
    )
    facts = train(
        unet,
        lesson(corpus, unet, learned, _shots(learned.shown), config.batch),
        recipe,
        file=out / "checkpoint.safetensors",
    )
    keep(
        unet,
        out,
        encoder,
        movq,
        {
            "low": config.low,
            "high": config.high,
            "pages": int(corpus.page.max()) + 1,
            "training": facts,
        },
    )
    return facts


def _shots(shown: Int[Tensor, "p s"]) -> Sequence[int]:
    """No more pictures are shown at once than the largest page has."""
    return [m for m in SHOTS if m <= shown.shape[1]]

"""Train Semantica on one's own pictures: a folder of pages, each a folder of related pictures.

creativelib semantica my-pages --out out/semantica
creativelib vary picture.jpg --semantica out/semantica --out out/varied
"""

import hashlib
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

from ..errors import InputError, above, check_fields, finite, listed, whole
from ..files import claim, make_writable
from ..fitting.loop import Recipe, train
from ..models.folders import read_part
from ..models.location import bundled
from ..models.networks import load_frozen, usable_device
from ..models.parts import VQ
from ..pictures import fit_picture, read_picture
from ..seeds import LARGEST, seeded
from ..sharing import SeededInit
from ..vision.encoders import Encoder
from .corpus import Filter, encode, pairs
from .learning import SHOTS, build, make_loss
from .model import CARD, save_network, save_parts

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Pictures:
    """n pictures of one size, page by page."""

    # In bytes.
    pixels: UInt8[np.ndarray, "n 3 s s"]
    # The number of each picture's page.
    page: Int[Tensor, " n"]

    def digest(self) -> str:
        """Return a short hash of all pixels and pages."""
        contents = self.pixels.tobytes() + self.page.numpy().tobytes()
        return hashlib.sha256(contents).hexdigest()[:12]


# The least and the most that numbers may be.
COUNTS = {
    "size": (16, 4096),
    "steps": (1,),
    "batch": (1, 4096),
    "seed": (0, LARGEST),
    "layers": (1, 100),
}


@dataclass(frozen=True)
class FolderConfig:
    """Settings of a training on folders. Raises InputError for values out of range."""

    # Side of the pictures in pixels; larger ones are shrunk and cropped to squares.
    size: int = 64
    # Steps of the training.
    steps: int = 2000
    # Pictures in a step.
    batch: int = 32
    # Peak learning rate of AdamW; Muon's is twice as large.
    lr: float = 1.5e-3
    # Seed of the weights and of the training.
    seed: int = 0
    # Least cosine of a pair, see `corpus.Filter`.
    low: float = -1.0
    # Largest cosine of a pair, see `corpus.Filter`.
    high: float = 1.0
    # Widths of the network, see `learning.build`. The defaults are the bundled network's; real
    # pictures need more.
    channels: tuple[int, int] = (48, 96)
    # Layers of the network's transformer, see `learning.build`.
    layers: int = 4

    def __post_init__(self) -> None:
        check_fields(self, whole, COUNTS)
        check_fields(self, above, {"lr": (0,)})
        check_fields(self, finite, {"low": (), "high": ()})
        check_fields(self, _widths, {"channels": ()})
        Filter(self.low, self.high)


def _widths(name: str, values: object) -> tuple[int, ...]:
    """Return the widths of a network that can be built, or raise InputError."""
    widths = tuple(whole(name, width, 1) for width in listed(name, values))
    if len(widths) != 2 or widths[0] % 16 or widths[1] % 32:
        raise InputError(f"{name} is {widths}; expected a multiple of 16 and one of 32")
    return widths


def read(folder: Path, size: int) -> Pictures:
    """Read every page below a folder, cropped to `size` pixels a side.

    Raises InputError, naming the file, for a file that is not a picture and for a picture smaller
    than `size`; also for a folder without pages and for a page with fewer than two pictures.
    """
    pages = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not pages:
        raise InputError(
            f"pages is {str(folder)!r}; expected a folder of folders of pictures, one for each page"
        )
    files: list[Path] = []
    numbers: list[int] = []
    for number, page in enumerate(pages):
        found = sorted(file for file in page.iterdir() if file.suffix.lower() in SUFFIXES)
        if len(found) < 2:
            raise InputError(
                f"page {str(page)!r} holds {len(found)} pictures ({', '.join(SUFFIXES)}); "
                "expected at least 2"
            )
        files += found
        numbers += [number] * len(found)
    with tqdm(files, desc="reading") as bar:
        pixels = np.stack([_read_square(file, size) for file in bar])
    return Pictures(pixels, torch.tensor(numbers))


def _read_square(file: Path, size: int) -> UInt8[np.ndarray, "3 s s"]:
    picture = read_picture(file, "pages")
    height, width = picture.shape[1:]
    if min(height, width) < size:
        raise InputError(
            f"pages has {str(file)!r} of {width} x {height} pixels; "
            f"expected at least {size} x {size}"
        )
    square = fit_picture(picture[None], size, size)[0]
    return (square * 255 + 0.5).to(torch.uint8).numpy()


def learn(
    folder: Path,
    out: Path,
    encoder: str = "clip",
    movq: str = "menagerie",
    config: FolderConfig | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a Semantica on a folder of pages, write it to `out`, and return the training's facts.

    A folder belongs to one run. With the same arguments and pictures, an interrupted run resumes
    from it, and a finished one is left as it is. With others, InputError says which differ. An
    encoder and an autoencoder of one's own are written there as well, so that the model is whole.

    `encoder` is a name or folder as in `Encoder.load`; `movq` is a folder with a VQModel, or
    "menagerie" for the bundled one. Raises InputError for bad arguments before any long work.
    """
    config = config or FolderConfig()
    place = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    make_writable("out", out)
    network = Encoder.load(encoder, place)
    autoencoder = _load_movq(movq, place)
    # The autoencoder halves a picture's side at each of its blocks but one, the network once more.
    multiple = 2 ** len(autoencoder.config.block_out_channels)
    if config.size % multiple:
        raise InputError(f"size is {config.size}; expected a multiple of {multiple}")
    pictures = read(folder, config.size)
    arguments = {
        "command": "semantica",
        "pages": folder.name,
        "contents": pictures.digest(),
        "encoder": encoder,
        "movq": movq,
        "settings": asdict(config),
    }
    claim(out, arguments)
    if (out / CARD).is_file():
        return json.loads((out / CARD).read_text(encoding="utf-8"))["training"]
    corpus = encode(
        pictures=pictures.pixels,
        page=pictures.page,
        encoder=network,
        movq=autoencoder,
        name=folder.name,
    )
    learned = pairs(corpus, Filter(config.low, config.high))
    with SeededInit(seeded(config.seed)):
        unet = build(
            width=network.width,
            latent=corpus.latents.shape[1],
            size=corpus.latents.shape[2],
            channels=config.channels,
            layers=config.layers,
        )
    unet = unet.to(place)
    recipe = Recipe(
        name="semantica",
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        warmup=min(200, config.steps // 10 + 1),
        seed=config.seed,
        muon=2 * config.lr,
    )
    loss = make_loss(
        corpus=corpus,
        unet=unet,
        learned=learned,
        shots=_possible_shots(learned.shown),
        batch=config.batch,
    )
    facts = train(unet, loss, recipe, file=out / "checkpoint.safetensors")
    names = save_parts(out, network, autoencoder, {"encoder": encoder, "movq": movq})
    card = {
        **names,
        "low": config.low,
        "high": config.high,
        "pages": int(corpus.page.max()) + 1,
        "training": facts,
    }
    save_network(unet, out, card)
    return facts


def _load_movq(movq: str, device: torch.device) -> Any:
    from diffusers import VQModel

    if movq != "menagerie" and not (Path(movq) / "config.json").is_file():
        raise InputError(f"movq is {movq!r}; expected 'menagerie' or a folder with a VQModel")
    folder = bundled("decoder/movq") if movq == "menagerie" else Path(movq)
    read_part(folder, VQ)
    return load_frozen(VQModel, folder, device)


def _possible_shots(shown: Int[Tensor, "p s"]) -> Sequence[int]:
    """Return the numbers of pictures to show at once that the largest page has."""
    return [m for m in SHOTS if m <= shown.shape[1]]

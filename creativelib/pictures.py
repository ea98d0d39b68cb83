"""Pictures as tensors in [0, 1]: fitted to an encoder, saved, put side by side in a gallery."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

from .errors import InputError
from .reading import read_json, shortened

# Layout of a gallery: tiles in a row, and pixels of a tile, between tiles and for a title.
COLUMNS = 8
SIDE = 128
GAP = 8
TITLE = 40
MAX_EDGE = 4096  # pixels that an encoder's pictures may measure
LARGE = 1e6  # a mean or a deviation of pixels is smaller


def fit_picture(
    pictures: Float[Tensor, "c 3 h w"], edge: int, crop: int
) -> Float[Tensor, "c 3 s s"]:
    """Resize the shorter edge to `edge` pixels and cut `crop` x `crop` out of the center.

    CLIPImageProcessor does the same with 8-bit pictures; up to its rounding, the results agree.
    """
    h, w = pictures.shape[-2:]
    shorter = min(h, w)
    if shorter != edge:
        h = int(edge * h / shorter)
        w = int(edge * w / shorter)
        # Bicubic resizing overshoots [0, 1] at sharp edges, and 8 bits clamp it.
        pictures = interpolate(pictures, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
    top = (h - crop) // 2
    left = (w - crop) // 2
    return pictures[..., top : top + crop, left : left + crop]


@dataclass(frozen=True)
class Preprocess:
    """The preprocessing of a CLIP or a DINOv2: resize, crop the center, normalize.

    transformers' image processors do the same with 8-bit pictures; this one is differentiable.
    `read` refuses what it cannot do.
    """

    # Pixels that the shorter edge is resized to.
    edge: int
    # Side of the square that is cut out of the center, in pixels.
    crop: int
    # Mean and standard deviation of each color channel.
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: str | Path) -> "Preprocess":
        """Read the preprocessor_config.json that `CLIPImageProcessor.save_pretrained` wrote.

        Sizes may be tables or, as in older files, numbers. Raises InputError if there is no such
        file, if it cannot be read, or if it asks for another preprocessing.
        """
        file = Path(folder) / "preprocessor_config.json"
        if not file.is_file():
            raise InputError(f"folder {str(folder)!r} has no preprocessor_config.json")
        config = read_json(file)
        size = config.get("size")
        crop = config.get("crop_size")
        edge = size.get("shortest_edge") if isinstance(size, dict) else size
        height, width = (
            [crop.get(side) for side in ("height", "width")]
            if isinstance(crop, dict)
            else [crop, crop]
        )
        if (
            type(edge) is not int
            or type(height) is not int
            or height != width
            or not 1 <= height <= edge <= MAX_EDGE
            or config.get("resample", 3) != 3
        ):
            resample = shortened(config.get("resample"))
            raise InputError(
                f"{str(file)!r} asks for size {shortened(size)}, crop_size {shortened(crop)} and "
                f"resample {resample}; expected a shortest_edge, a square not larger than that, "
                "and 3 (bicubic)"
            )
        mean = _channels(file, "image_mean", config.get("image_mean"))
        std = _channels(file, "image_std", config.get("image_std"))
        if min(std) <= 0:
            raise InputError(f"{str(file)!r} has image_std {std}; expected numbers above 0")
        return cls(edge, height, mean, std)

    def save(self, folder: str | Path) -> None:
        """Write a file that `read` and transformers' image processors read."""
        config = {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": self.edge},
            "crop_size": {"height": self.crop, "width": self.crop},
            "image_mean": self.mean,
            "image_std": self.std,
            "resample": 3,
        }
        file = Path(folder) / "preprocessor_config.json"
        file.write_text(json.dumps(config, indent=1) + "\n")

    def __call__(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c 3 s s"]:
        """Prepare pictures in [0, 1] for the network; differentiable."""
        pixels = fit_picture(pictures, self.edge, self.crop)
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std


def _channels(file: Path, name: str, values: object) -> tuple[float, ...]:
    """Return one number for each color channel. Raises InputError for anything else."""
    numbers = values if isinstance(values, list) else []
    if len(numbers) != 3 or not all(
        type(number) in (int, float) and abs(number) < LARGE for number in numbers
    ):
        raise InputError(f"{str(file)!r} has {name} {shortened(values)}; expected three numbers")
    return tuple(numbers)


def to_image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    """Convert one picture in [0, 1] to an 8-bit image."""
    pixels = (picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def read_picture(file: str | Path) -> Float[Tensor, "3 h w"]:
    """Read an image file of any kind that Pillow knows. Raises OSError for any other file."""
    with Image.open(file) as image:
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        return pixels.view(image.height, image.width, 3).permute(2, 0, 1).float() / 255


def save_picture(picture: Float[Tensor, "3 h w"], file: str | Path) -> None:
    """Write one picture in [0, 1] in its own size, as a PNG if `file` ends in .png.

    The folder is created if it does not exist.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    to_image(picture).save(file)


def save_gallery(rows: Mapping[str, Float[Tensor, "n 3 h w"]], file: str | Path) -> None:
    """Write titled blocks of pictures, one below the other, as one image of 128-pixel tiles.

    The folder is created if it does not exist.
    """
    lines = {title: (len(pictures) + COLUMNS - 1) // COLUMNS for title, pictures in rows.items()}
    columns = min(COLUMNS, max(len(pictures) for pictures in rows.values()))
    step = SIDE + GAP
    width = GAP + columns * step
    height = GAP + sum(TITLE + count * step for count in lines.values())
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(20)
    y = 0
    for title, pictures in rows.items():
        draw.text((GAP, y + TITLE // 2), title, fill="black", font=font, anchor="lm")
        y += TITLE
        for index, picture in enumerate(pictures):
            tile = to_image(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (GAP + index % COLUMNS * step, y + index // COLUMNS * step))
        y += lines[title] * step
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)


def in_bytes(pictures: Float[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Convert pictures in [0, 1] to bytes, a quarter of the memory."""
    return (pictures * 255 + 0.5).to(torch.uint8)


def as_picture(pixels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Convert bytes to pictures in [0, 1]."""
    return pixels.float() / 255

"""Pictures as tensors in [0, 1]: read, checked, fitted to an encoder, saved, put into a gallery."""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from .errors import InputError, shown
from .files import atomic_write, write_json
from .reading import read_json

# Layout of a gallery: tiles in a row, and pixels of a tile, between tiles and for a title.
COLUMNS = 8
SIDE = 128
GAP = 8
TITLE = 40
# Pixels that a file may have, 8192 x 8192. As a tensor it then takes 0.8 GB.
MOST_PIXELS = 2**26
# How often the shorter edge may go into the longer one. Resized, the longer one is as many times
# as long as an encoder's pictures, whatever the memory.
LONGEST = 100
# How far rounding may carry values out of [0, 1]: one level of 8 bits.
TOLERANCE = 1 / 255
MAX_EDGE = 4096  # pixels that an encoder's pictures may measure
LARGE = 1e6  # a mean or a deviation of pixels is smaller


def check_pictures(pictures: Tensor, axes: str = "n 3 h w", name: str = "pictures") -> None:
    """Raise InputError unless pictures are finite floats in [0, 1] and have at least one pixel.

    Every function that takes pictures from a caller calls it first. `axes` are those that the
    function takes, where "..." stands for any number, and `name` is what it calls them. The
    pictures stay as they are, and gradients pass.
    """
    wanted = f"({axes.replace(' ', ', ')})"
    if not isinstance(pictures, Tensor):
        raise InputError(
            f"{name} is a {type(pictures).__name__}; expected a tensor {wanted} of floats in [0, 1]"
        )
    count = len(axes.split())
    fits = pictures.ndim == count or (axes.startswith("...") and pictures.ndim >= count - 1)
    if not fits or pictures.shape[-3] != 3 or not pictures.numel():
        raise InputError(
            f"{name} is of shape {tuple(pictures.shape)}; expected {wanted} and at least one pixel"
        )
    if not pictures.is_floating_point():
        raise InputError(
            f"{name} is of {pictures.dtype}; expected floats in [0, 1], such as bytes / 255"
        )
    low, high = torch.stack(pictures.detach().aminmax()).tolist()
    # No comparison with NaN is true.
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise InputError(
            f"{name} has values from {low:g} to {high:g}; expected finite ones in [0, 1], such "
            "as bytes / 255"
        )


def fit_picture(
    pictures: Float[Tensor, "c 3 h w"], edge: int, crop: int
) -> Float[Tensor, "c 3 s s"]:
    """Resize the shorter edge to `edge` pixels and cut `crop` x `crop` out of the center.

    CLIPImageProcessor does the same with 8-bit pictures; up to its rounding, the results agree.
    Raises InputError if one edge is more than 100 times as long as the other.
    """
    h, w = pictures.shape[-2:]
    shorter = min(h, w)
    if _is_strip(h, w):
        raise InputError(
            f"pictures is of {w} x {h} pixels; expected edges of which none is more than "
            f"{LONGEST} times as long as the other"
        )
    if shorter != edge:
        h = int(edge * h / shorter)
        w = int(edge * w / shorter)
        # Bicubic resizing overshoots [0, 1] at sharp edges, and 8 bits clamp it.
        pictures = interpolate(pictures, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
    top = (h - crop) // 2
    left = (w - crop) // 2
    return pictures[..., top : top + crop, left : left + crop]


def _is_strip(height: int, width: int) -> bool:
    return max(height, width) > LONGEST * min(height, width)


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
            resample = shown(config.get("resample"))
            raise InputError(
                f"{str(file)!r} asks for size {shown(size)}, crop_size {shown(crop)} and "
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
        write_json(file, config, indent=1)

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
        raise InputError(f"{str(file)!r} has {name} {shown(values)}; expected three numbers")
    return tuple(numbers)


def to_image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    """Convert one picture in [0, 1] to an 8-bit image. Raises InputError for other values."""
    check_pictures(picture, "3 h w")
    pixels = (picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def read_picture(file: str | Path, name: str = "picture") -> Float[Tensor, "3 h w"]:
    """Read a picture's file of any kind that Pillow knows, as people see it.

    It is turned upright as its EXIF data say, and lies on white where it is transparent. Of a
    moving picture it is the first frame. Color profiles are not applied.

    Raises InputError, which names the argument `name`, for a file that cannot be read as a picture.
    One of more than 8192 x 8192 pixels, or with an edge more than 100 times as long as the other,
    is refused before it is unpacked.
    """
    try:
        # Pillow warns of what it gets over.
        with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            width, height = image.size
            if width * height > MOST_PIXELS or _is_strip(height, width):
                raise ValueError(f"it has {width} x {height} pixels")
            return _read_upright(image)
    # A damaged file leads Pillow's readers to errors of any kind.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"{name} has {str(file)!r}, which cannot be read as a picture ({reason}); expected a "
            f"file of a kind that Pillow knows, of at most {MOST_PIXELS:,} pixels and with edges "
            f"of which none is more than {LONGEST} times as long as the other"
        ) from None


def _read_upright(image: Image.Image) -> Float[Tensor, "3 h w"]:
    image.load()
    # Damaged EXIF data are no reason to refuse a picture that is whole.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        return _read_deep_gray(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1).float().div_(255)


def _read_deep_gray(image: Image.Image) -> Float[Tensor, "3 h w"]:
    """Read gray values of 16 bits or in floats. Raises ValueError for floats out of [0, 1]."""
    values = torch.from_numpy(np.asarray(image).astype(np.float32))
    transparent = image.info.get("transparency")
    if transparent is not None:
        values[values == transparent] = 2**16 - 1
    if image.mode != "F":
        values /= 2**16 - 1
    low, high = torch.stack(values.aminmax()).tolist()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"its gray values go from {low:g} to {high:g}")
    return values.repeat(3, 1, 1)


def save_picture(picture: Float[Tensor, "3 h w"], file: str | Path) -> None:
    """Write one picture in [0, 1] in its own size, as a PNG if `file` ends in .png.

    The folder is created if it does not exist.
    """
    image = to_image(picture)
    with atomic_write(file) as part:
        image.save(part)


def save_gallery(rows: Mapping[str, Float[Tensor, "n 3 h w"]], file: str | Path) -> None:
    """Write titled blocks of pictures, one below the other, as one image of 128-pixel tiles.

    The folder is created if it does not exist. Raises InputError if there are no pictures.
    """
    if not rows:
        raise InputError("rows is empty; expected pictures by title")
    for pictures in rows.values():
        check_pictures(pictures)
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
    with atomic_write(file) as part:
        sheet.save(part)


def in_bytes(pictures: Float[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Convert pictures in [0, 1] to bytes, a quarter of the memory."""
    return (pictures * 255 + 0.5).to(torch.uint8)


def as_picture(pixels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Convert bytes to pictures in [0, 1]."""
    return pixels.float() / 255

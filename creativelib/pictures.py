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

COLUMNS = 8
SIDE = 128
GAP = 8
TITLE = 40


def fit_picture(
    pictures: Float[Tensor, "c 3 h w"], edge: int, crop: int
) -> Float[Tensor, "c 3 s s"]:
    """Resize the shorter edge and cut out the centre, as CLIPImageProcessor does with the same picture in 8 bits, up to its rounding."""
    h, w = pictures.shape[-2:]
    if min(h, w) != edge:
        h, w = int(edge * h / min(h, w)), int(edge * w / min(h, w))
        # The clamp is what 8 bits do: bicubic resizing overshoots [0, 1] at sharp edges.
        pictures = interpolate(pictures, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
    top = (h - crop) // 2
    left = (w - crop) // 2
    return pictures[..., top : top + crop, left : left + crop]


@dataclass(frozen=True)
class Preprocess:
    """What a CLIP or a DINOv2 wants of a picture: the shorter edge resized to `edge` pixels, `crop` x `crop` cut out of the middle,
    normalised by `mean` and `std`.

    The same as transformers' image processors do with pictures in 8 bits, but differentiable; what it cannot do, `read` refuses.
    """

    edge: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path) -> "Preprocess":
        """From the folder that `CLIPImageProcessor.save_pretrained` wrote. Older files hold a number where others hold a table.

        Raises InputError where there is none, and for one that asks for something else.
        """
        file = folder / "preprocessor_config.json"
        if not file.is_file():
            raise InputError(f"folder {str(folder)!r} has no preprocessor_config.json")
        found = json.loads(file.read_text())
        size = found.get("size")
        crop = found.get("crop_size")
        edge = size.get("shortest_edge") if isinstance(size, dict) else size
        sides = {crop["height"], crop["width"]} if isinstance(crop, dict) else {crop}
        if (
            not isinstance(edge, int)
            or len(sides) != 1
            or not sides <= set(range(1, edge + 1))
            or found.get("resample", 3) != 3
        ):
            raise InputError(
                f"{str(file)!r} asks for size {size}, crop_size {crop} and resample {found.get('resample')}; expected a "
                "shortest_edge, a square not larger than that, and 3 (bicubic)"
            )
        return cls(edge, sides.pop(), tuple(found["image_mean"]), tuple(found["image_std"]))

    def __call__(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c 3 s s"]:
        """Pictures in [0, 1] as the network takes them; differentiable."""
        pixels = fit_picture(pictures, self.edge, self.crop)
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std


def to_image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    """One picture in [0, 1] as an 8-bit image."""
    return Image.fromarray(
        (picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    )


def read_picture(file: Path) -> Float[Tensor, "3 h w"]:
    """Read an image file of any kind that Pillow knows. Raises OSError for what is none."""
    with Image.open(file) as opened:
        pixels = torch.frombuffer(bytearray(opened.convert("RGB").tobytes()), dtype=torch.uint8)
        return pixels.view(opened.height, opened.width, 3).permute(2, 0, 1).float() / 255


def save_picture(picture: Float[Tensor, "3 h w"], file: Path) -> None:
    """Write one picture in [0, 1] as a PNG of its own size."""
    to_image(picture).save(file)


def save_gallery(rows: Mapping[str, Float[Tensor, "n 3 h w"]], file: Path) -> None:
    """Write titled blocks of pictures, one below the other, as one PNG; small pictures are enlarged to 128 pixels."""
    blocks = {title: (len(pictures) + COLUMNS - 1) // COLUMNS for title, pictures in rows.items()}
    columns = min(COLUMNS, max(len(pictures) for pictures in rows.values()))
    step = SIDE + GAP
    sheet = Image.new(
        "RGB",
        (GAP + columns * step, sum(TITLE + lines * step for lines in blocks.values()) + GAP),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(20)
    y = 0
    for title, pictures in rows.items():
        draw.text((GAP, y + TITLE // 2), title, fill="black", font=font, anchor="lm")
        y += TITLE
        for index, picture in enumerate(pictures):
            tile = to_image(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (GAP + index % COLUMNS * step, y + index // COLUMNS * step))
        y += blocks[title] * step
    sheet.save(file)


def in_bytes(pictures: Float[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Pictures in [0, 1] as bytes, which is how they are kept."""
    return (pictures * 255 + 0.5).to(torch.uint8)


def as_picture(pixels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Back to [0, 1]."""
    return pixels.float() / 255

"""Pictures as tensors in [0, 1]: fitted to an encoder, saved, put side by side in a gallery."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

COLUMNS = 8
SIDE = 128
GAP = 8
TITLE = 40


def fit_picture(pictures: Float[Tensor, "c 3 h w"], edge: int, crop: int) -> Float[Tensor, "c 3 s s"]:
    """Resize the shorter edge and cut out the centre, as CLIPImageProcessor does with the same picture in 8 bits, up to its rounding."""
    h, w = pictures.shape[-2:]
    if min(h, w) != edge:
        h, w = int(edge * h / min(h, w)), int(edge * w / min(h, w))
        # The clamp is what 8 bits do: bicubic resizing overshoots [0, 1] at sharp edges.
        pictures = interpolate(pictures, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (h - crop) // 2, (w - crop) // 2
    return pictures[..., top:top + crop, left:left + crop]


def to_image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    """One picture in [0, 1] as an 8-bit image."""
    return Image.fromarray((picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


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
    sheet = Image.new("RGB", (GAP + columns * step, sum(TITLE + lines * step for lines in blocks.values()) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    y = 0
    for title, pictures in rows.items():
        draw.text((GAP, y + TITLE // 2), title, fill="black", font=font, anchor="lm")
        y += TITLE
        for index, picture in enumerate(pictures):
            tile = to_image(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (GAP + index % COLUMNS * step, y + index // COLUMNS * step))
        y += blocks[title] * step
    sheet.save(file)

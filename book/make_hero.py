"""Draw the picture that opens the book: python book/make_hero.py.

It shows the first pictures that `creativelib create` draws of three categories, not selected.
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image

from creativelib.commands.creation import create
from creativelib.english import article
from creativelib.pictures import read_picture, save_gallery

HERO = Path(__file__).parent / "_static" / "hero.jpg"
MODEL = "menagerie-128"
CATEGORIES = ("pet", "building", "vehicle")
EACH = 4  # typical pictures, then as many creative ones


def drawn(category: str, folder: Path) -> torch.Tensor:
    """Run the command for a category; return its first typical and its first creative pictures."""
    out = folder / category
    create(f"a photo of {article(category)}", out, seed=0, count=16, model=MODEL)
    files = [
        out / f"{kind}-{index:02d}.png" for kind in ("typical", "creative") for index in range(EACH)
    ]
    return torch.stack([read_picture(file) for file in files])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = {category: drawn(category, Path(folder)) for category in CATEGORIES}
        sheet = Path(folder) / "sheet.png"
        save_gallery(rows, sheet)
        Image.open(sheet).save(HERO, quality=88)


if __name__ == "__main__":
    main()

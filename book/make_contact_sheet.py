"""Draw the model card's contact sheet: python book/make_contact_sheet.py.

It shows scenes as the world draws them and as both bundled stacks decode them.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.utils import make_grid

from creativelib.pictures import to_image
from creativelib.unclip.pipeline import load
from creativelib.world import CATEGORIES
from creativelib.world.scenes import draw, sample_scenes

SHEET = Path(__file__).parent / "_static" / "contact-sheet.jpg"
SIDE = 128
EACH = 2  # scenes of each category


@torch.no_grad()
def decoded(name: str, scenes: list) -> Tensor:
    """Decode a stack's embeddings of the scenes, and resize the pictures to SIDE pixels."""
    pipe = load(name, device="cpu")
    pictures = torch.cat([draw(part, pipe.decoder.side) for part in scenes])
    z = pipe.encode_images(pictures)
    out = pipe.decode(z[None], generator=torch.Generator().manual_seed(0))[0]
    return interpolate(out, SIDE, mode="bilinear", align_corners=False)


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    scenes = [sample_scenes(EACH, generator, wild=0.5, category=c.name) for c in CATEGORIES]
    world = torch.cat([draw(part, SIDE) for part in scenes])
    rows = torch.stack([world, decoded("menagerie", scenes), decoded("menagerie-128", scenes)])
    # One block of three rows for each category's first scene, one for its second.
    blocks = rows.unflatten(1, (len(CATEGORIES), EACH)).permute(2, 0, 1, 3, 4, 5)
    sheet = make_grid(blocks.flatten(0, 2), nrow=len(CATEGORIES), padding=3, pad_value=1.0)
    to_image(sheet).save(SHEET, quality=85)


if __name__ == "__main__":
    main()

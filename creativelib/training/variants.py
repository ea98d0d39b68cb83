"""Semantica with other encoders and filters, each trained alike and for a shorter time, to be compared. Not bundled.

    python -m creativelib.training variants
    python benchmarks/semantica.py variants
"""

from dataclasses import replace
from pathlib import Path

from ..encoders import Encoder
from . import export
from .data import cache_folder
from .pages import Filter, of_the_world, pairs
from .semantica import RECIPE, SHOTS, keep, learn

SHORT = replace(RECIPE, steps=1500)
# Which encoder is looked through, and which pairs are learned from.
VARIANTS = {
    "CLIP": ("clip", Filter()),
    "CLIP, filtered": ("clip", Filter(low=0.4, high=0.95)),
    "DINO": ("dino", Filter()),
}


def folder(name: str) -> Path:
    """Where a variant is kept for `Semantica.load`."""
    return cache_folder() / "semantica" / name.lower().replace(", ", "-").replace(" ", "-")


def main() -> dict:
    facts = {}
    for name, (encoder, chosen) in VARIANTS.items():
        corpus = of_the_world(Encoder.load(encoder), export.load_movq())
        unet, facts[name] = learn(f"semantica-{folder(name).name}", corpus, pairs(corpus, chosen), SHOTS, SHORT)
        keep(unet, folder(name), encoder, "menagerie", {"low": chosen.low, "high": chosen.high})
    return facts

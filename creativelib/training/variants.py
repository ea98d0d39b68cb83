"""Semantica with other encoders and filters, each trained alike and for a shorter time, to be compared. Not bundled.

python -m creativelib.training variants
python -m benchmarks.semantica.variations variants
"""

from dataclasses import replace
from pathlib import Path

from ..files import cache_folder
from ..fitting.loop import Run
from ..semantica.corpus import Filter, pairs
from ..semantica.learning import SHOTS, keep
from . import export
from .pages import of_the_world
from .semantica import RECIPE, eyes, learn

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


def main(run: Run) -> dict:
    facts = {}
    for name, (encoder, chosen) in VARIANTS.items():
        corpus = of_the_world(eyes(encoder, run.device), export.load_movq(run.device))
        place = folder(name)
        learned = pairs(corpus, chosen)
        unet, facts[name] = learn(
            f"semantica-{place.name}",
            corpus,
            learned,
            SHOTS,
            SHORT,
            run.device,
            run.part(1 / len(VARIANTS)),
        )
        keep(unet, place, encoder, export.MODEL, {"low": chosen.low, "high": chosen.high})
    return facts

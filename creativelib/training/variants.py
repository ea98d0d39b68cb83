"""Semantica with other encoders and filters, for comparison.

All are trained alike and for fewer steps than the bundled one. They are not bundled.

python -m creativelib.training variants
python -m benchmarks.semantica.variations variants
"""

from dataclasses import replace
from pathlib import Path

from ..files import cache_folder
from ..fitting.loop import Run
from ..semantica.corpus import Filter, pairs
from ..semantica.learning import SHOTS
from ..semantica.model import save_network
from . import export
from .pages import world_corpus
from .semantica import RECIPE, learn, load_encoder

SHORT = replace(RECIPE, steps=1500)
# By name, the encoder and the filter of pairs.
VARIANTS = {
    "CLIP": ("clip", Filter()),
    "CLIP, filtered": ("clip", Filter(low=0.4, high=0.95)),
    "DINO": ("dino", Filter()),
}


def folder(name: str) -> Path:
    """Return the folder of a variant, for `Semantica.load`."""
    return cache_folder() / "semantica" / name.lower().replace(", ", "-").replace(" ", "-")


def main(run: Run) -> dict:
    """Train and write all variants."""
    facts = {}
    for name, (encoder, limits) in VARIANTS.items():
        corpus = world_corpus(load_encoder(encoder, run.device), export.load_movq(run.device))
        target = folder(name)
        unet, facts[name] = learn(
            name=f"semantica-{target.name}",
            corpus=corpus,
            learned=pairs(corpus, limits),
            shots=SHOTS,
            recipe=SHORT,
            device=run.device,
            minutes=run.part(1 / len(VARIANTS)),
        )
        card = {
            "encoder": encoder,
            "movq": export.MODEL,
            "low": limits.low,
            "high": limits.high,
        }
        save_network(unet, target, card)
    return facts

"""The bundled CLIP's recipe without its auxiliary loss, to see what the factors' labels gave it. Not bundled.

    python -m creativelib.training unaided
    python benchmarks/density.py --clip ~/.cache/creativelib/clip-unaided
"""

from dataclasses import replace

from . import clip, export, tokenizer
from .clip import Stage
from .data import cache_folder


def without_labels(stage: Stage) -> Stage:
    return replace(stage, read=0.0, recipe=replace(stage.recipe, name=f"{stage.recipe.name}-unaided"))


def main() -> dict:
    model, facts = clip.learn(tokenizer.build(), without_labels(clip.FIRST), without_labels(clip.PARTS))
    export.save_half(model.vision, cache_folder() / "clip-unaided")
    return facts

"""The bundled CLIP's recipe without its auxiliary loss, to see what the factors' labels gave it. Not bundled.

    python -m creativelib.training unaided
    python benchmarks/density.py --clip ~/.cache/creativelib/clip-unaided
"""

from dataclasses import replace

from . import clip, export, tokenizer
from .clip import Plan
from .data import cache_folder
from .loop import Run


def without_labels(plan: Plan) -> Plan:
    return replace(plan, read=0.0, recipe=replace(plan.recipe, name=f"{plan.recipe.name}-unaided"))


def main(run: Run) -> dict:
    model, facts = clip.learn(tokenizer.build(), without_labels(clip.PLAN), run)
    export.save_half(model.vision, cache_folder() / "clip-unaided")
    return facts

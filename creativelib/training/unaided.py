"""The bundled CLIP's recipe without its auxiliary loss, to see what the factors' labels gave it. Not bundled.

python -m creativelib.training unaided
python -m benchmarks.density.recovery --clip ~/.cache/creativelib/clip-unaided
"""

from dataclasses import replace

from ..files import cache_folder
from ..fitting.loop import Run
from ..models.networks import save_half
from . import clip, tokenizer
from .clip import Plan


def without_labels(plan: Plan) -> Plan:
    return replace(plan, read=0.0, recipe=replace(plan.recipe, name=f"{plan.recipe.name}-unaided"))


def main(run: Run) -> dict:
    model, facts = clip.learn(tokenizer.build(), without_labels(clip.PLAN), run)
    save_half(model.vision, cache_folder() / "clip-unaided")
    return facts

"""The bundled CLIP's recipe without the auxiliary loss, to measure the effect of the labels.

It is not bundled.

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
    """Return the plan without the auxiliary loss, under a name of its own."""
    recipe = replace(plan.recipe, name=f"{plan.recipe.name}-unaided")
    return replace(plan, read=0.0, recipe=recipe)


def main(run: Run) -> dict:
    """Train the CLIP and write its image encoder to the cache folder."""
    model, facts = clip.learn(tokenizer.build(), without_labels(clip.PLAN), run)
    save_half(model.vision, cache_folder() / "clip-unaided")
    return facts

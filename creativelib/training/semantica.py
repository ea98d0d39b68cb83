"""Semantica and its control (Kumar et al., arXiv 2405.14857): one network, shown a page or itself.

Semantica is shown others of the page of which it draws a picture, the control that picture. The
paper shows one picture of the page. From one nobody can tell what its page shares; so here it is
one, two or four, alike often, and a network that is shown several can learn to keep what they have
in common. The error of the clean latents is weighted as an error of the velocity would be (Salimans
and Ho, arXiv 2202.00512), up to a limit, since near the clean picture that weight is infinite.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compiled
from ..pictures import Preprocess
from ..semantica.corpus import Corpus, Filter, Pairs, itself, pairs
from ..semantica.learning import SHOTS, build, keep, lesson
from ..vision.encoders import Encoder
from . import export, vqmodel
from .pages import of_the_world

RECIPE = Recipe(
    "semantica",
    steps=6400,
    batch=64,
    lr=1.5e-3,
    warmup=200,
    weight_decay=0.01,
    average=0.998,
    seed=41,
    muon=3e-3,
)
CONTROL_STEPS = 3000  # to say what one sees is learned sooner than to say what else there might be
PART = 0.68  # of the minutes, for the network that is not the control
KEEP = Filter()
ENCODER = "clip"


def eyes(name: str, device: torch.device) -> Encoder:
    """Load an encoder of the stack that is trained here, by the name that it is bundled under."""
    if name == "clip":
        preprocess = Preprocess.read(export.PRIOR / "image_processor")
        return Encoder(name, export.load_clip(device)[1], preprocess)
    return replace(Encoder.load(export.FOLDER / name, device), name=name)


def learn(
    name: str,
    corpus: Corpus,
    learned: Pairs,
    shots: tuple[int, ...],
    recipe: Recipe,
    device: torch.device,
    minutes: float | None,
) -> tuple[Any, dict]:
    """Train one network from nothing; with facts for the model card."""
    torch.manual_seed(recipe.seed)
    unet = build(corpus.tokens.shape[2], vqmodel.CHANNELS).to(device)
    compiled(unet, device)
    loss = lesson(corpus, unet, learned, shots, recipe.batch)
    return unet, train(unet, loss, replace(recipe, name=name), minutes=minutes)


@dataclass(frozen=True)
class Way:
    """What a network learns from, and how long. part: of the minutes."""

    learned: Pairs
    shots: tuple[int, ...]
    recipe: Recipe
    part: float


def main(run: Run) -> dict:
    """Train both bundled networks."""
    corpus = of_the_world(eyes(ENCODER, run.device), export.load_movq(run.device))
    ways = {
        "pairs": Way(pairs(corpus, KEEP), SHOTS, RECIPE, PART),
        "control": Way(itself(corpus), (1,), replace(RECIPE, steps=CONTROL_STEPS), 1 - PART),
    }
    facts = {}
    for name, way in ways.items():
        unet, facts[name] = learn(
            f"semantica-{name}",
            corpus,
            way.learned,
            way.shots,
            way.recipe,
            run.device,
            run.part(way.part),
        )
        about = {"low": KEEP.low, "high": KEEP.high, "shots": way.shots}
        keep(unet, export.FOLDER / "semantica" / name, ENCODER, export.MODEL, about)
    export.note("semantica", facts)
    export.sums()
    return facts

"""Train Semantica and its control (Kumar et al., arXiv 2405.14857).

Both are the same network. To draw a picture of a page, Semantica is shown other pictures of that
page, the control that picture itself. The paper shows one picture of the page. One picture does not
reveal the features that its page shares. So here one, two or four are shown equally often, and the
network can learn to keep the features that they have in common. The error of the clean latents is
weighted like an error of the velocity (Salimans and Ho, arXiv 2202.00512), up to a limit, since
near the clean picture that weight is infinite.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import compile_blocks
from ..pictures import Preprocess
from ..semantica.corpus import Corpus, Filter, Pairs, pairs, self_pairs
from ..semantica.learning import SHOTS, build, make_loss
from ..semantica.model import save_network
from ..vision.encoders import Encoder
from . import export, vqmodel
from .pages import world_corpus

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
CONTROL_STEPS = 3000  # fewer, since reconstruction is learned sooner than variation
PART = 0.68  # share of the minutes for Semantica; the control gets the rest
LIMITS = Filter()
ENCODER = "clip"


def load_encoder(name: str, device: torch.device) -> Encoder:
    """Load an encoder of the stack in training, by the name under which it is bundled."""
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
    """Train one network from random weights, and return it with facts for the model card."""
    torch.manual_seed(recipe.seed)
    unet = build(corpus.tokens.shape[2], vqmodel.CHANNELS).to(device)
    compile_blocks(unet, device)
    loss = make_loss(corpus=corpus, unet=unet, learned=learned, shots=shots, batch=recipe.batch)
    return unet, train(unet, loss, replace(recipe, name=name), minutes=minutes)


@dataclass(frozen=True)
class Plan:
    """Settings of one network's training."""

    # Pictures to learn and to show.
    learned: Pairs
    # Numbers of pictures that are shown.
    shots: tuple[int, ...]
    # Length and pace.
    recipe: Recipe
    # Share of the minutes.
    part: float


def main(run: Run) -> dict:
    """Train and write both bundled networks."""
    corpus = world_corpus(load_encoder(ENCODER, run.device), export.load_movq(run.device))
    plans = {
        "pairs": Plan(learned=pairs(corpus, LIMITS), shots=SHOTS, recipe=RECIPE, part=PART),
        "control": Plan(
            learned=self_pairs(corpus),
            shots=(1,),
            recipe=replace(RECIPE, steps=CONTROL_STEPS),
            part=1 - PART,
        ),
    }
    facts = {}
    for name, plan in plans.items():
        unet, facts[name] = learn(
            name=f"semantica-{name}",
            corpus=corpus,
            learned=plan.learned,
            shots=plan.shots,
            recipe=plan.recipe,
            device=run.device,
            minutes=run.part(plan.part),
        )
        card = {
            "encoder": ENCODER,
            "movq": export.MODEL,
            "low": LIMITS.low,
            "high": LIMITS.high,
            "shots": plan.shots,
        }
        save_network(unet, export.FOLDER / "semantica" / name, card)
    export.note("semantica", facts)
    export.sums()
    return facts

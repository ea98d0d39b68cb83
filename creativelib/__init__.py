# pyright: strict
"""Creative pictures from an unCLIP stack, judged against a world whose probabilities are known."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# The public names, for editors and type checkers. A test keeps this list and the next one equal.
if TYPE_CHECKING:
    from .commands.creation import create as create
    from .concept.base import Concept as Concept
    from .concept.embedding import EmbeddingConcept as EmbeddingConcept
    from .concept.lora import LoraConcept as LoraConcept
    from .concept.token import TokenConcept as TokenConcept
    from .conceptlab.evolution import Family as Family
    from .conceptlab.evolution import MixConfig as MixConfig
    from .conceptlab.evolution import evolve as evolve
    from .conceptlab.evolution import mix as mix
    from .conceptlab.learning import iter_learn as iter_learn
    from .conceptlab.learning import learn_concept as learn_concept
    from .conceptlab.settings import LearnConfig as LearnConfig
    from .conceptlab.settling import settle as settle
    from .conceptlab.state import LearnResult as LearnResult
    from .density.base import Density as Density
    from .density.custom import CustomDensity as CustomDensity
    from .density.flow import FlowDensity as FlowDensity
    from .density.gaussian import GaussianDensity as GaussianDensity
    from .density.mixture import MixtureDensity as MixtureDensity
    from .errors import InputError as InputError
    from .evaluation.methods import evaluate as evaluate
    from .evaluation.samples import Samples as Samples
    from .metrics.table import compare as compare
    from .notebook.stored import figures as figures
    from .notebook.stored import results as results
    from .optimization.loop import optimize as optimize
    from .optimization.objectives import Anchor as Anchor
    from .optimization.objectives import Direction as Direction
    from .optimization.objectives import MeanAnchor as MeanAnchor
    from .optimization.objectives import Rarity as Rarity
    from .optimization.objectives import Repulsion as Repulsion
    from .optimization.objectives import Similarity as Similarity
    from .optimization.objectives import Term as Term
    from .optimization.objectives import as_objective as as_objective
    from .semantica.model import Semantica as Semantica
    from .steering.guidance import guide_decoder as guide_decoder
    from .steering.guidance import guide_prior as guide_prior
    from .steering.inversion import textual_inversion as textual_inversion
    from .steering.pullback import draw_rare as draw_rare
    from .steering.recipe import iter_steer as iter_steer
    from .steering.recipe import steer as steer
    from .steering.result import SteerResult as SteerResult
    from .steering.settings import SteerConfig as SteerConfig
    from .steering.target import fit_baseline as fit_baseline
    from .steering.target import rarity_target as rarity_target
    from .unclip.pipeline import Pipeline as Pipeline
    from .unclip.pipeline import load as load
    from .unclip.prior import PriorSampling as PriorSampling
    from .vision.judge import Judge as Judge
    from .vision.vqa import Blip2Vqa as Blip2Vqa
    from .vision.vqa import BlipVqa as BlipVqa
    from .vision.vqa import SmolVlmVqa as SmolVlmVqa
    from .vision.vqa import ZeroShotVqa as ZeroShotVqa

# Where each of them is defined. They are loaded on first use, so `import creativelib` stays fast.
_HOMES = {
    "create": "commands.creation",
    "Concept": "concept.base",
    "EmbeddingConcept": "concept.embedding",
    "LoraConcept": "concept.lora",
    "TokenConcept": "concept.token",
    "Family": "conceptlab.evolution",
    "MixConfig": "conceptlab.evolution",
    "evolve": "conceptlab.evolution",
    "mix": "conceptlab.evolution",
    "iter_learn": "conceptlab.learning",
    "learn_concept": "conceptlab.learning",
    "LearnConfig": "conceptlab.settings",
    "settle": "conceptlab.settling",
    "LearnResult": "conceptlab.state",
    "Density": "density.base",
    "CustomDensity": "density.custom",
    "FlowDensity": "density.flow",
    "GaussianDensity": "density.gaussian",
    "MixtureDensity": "density.mixture",
    "InputError": "errors",
    "Samples": "evaluation.samples",
    "evaluate": "evaluation.methods",
    "compare": "metrics.table",
    "figures": "notebook.stored",
    "results": "notebook.stored",
    "optimize": "optimization.loop",
    "Anchor": "optimization.objectives",
    "Direction": "optimization.objectives",
    "MeanAnchor": "optimization.objectives",
    "Rarity": "optimization.objectives",
    "Repulsion": "optimization.objectives",
    "Similarity": "optimization.objectives",
    "Term": "optimization.objectives",
    "as_objective": "optimization.objectives",
    "Semantica": "semantica.model",
    "guide_decoder": "steering.guidance",
    "guide_prior": "steering.guidance",
    "textual_inversion": "steering.inversion",
    "draw_rare": "steering.pullback",
    "iter_steer": "steering.recipe",
    "steer": "steering.recipe",
    "SteerResult": "steering.result",
    "SteerConfig": "steering.settings",
    "fit_baseline": "steering.target",
    "rarity_target": "steering.target",
    "Pipeline": "unclip.pipeline",
    "load": "unclip.pipeline",
    "PriorSampling": "unclip.prior",
    "Judge": "vision.judge",
    "Blip2Vqa": "vision.vqa",
    "BlipVqa": "vision.vqa",
    "SmolVlmVqa": "vision.vqa",
    "ZeroShotVqa": "vision.vqa",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(
            f"module 'creativelib' has no attribute {name!r}; it has {', '.join(_HOMES)}"
        )
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

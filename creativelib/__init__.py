"""Creative pictures from an unCLIP stack, judged against a world whose true probabilities are known."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded on first use, so that `import creativelib` stays fast. `optimize`, `create` and `settle` share their modules' names: import those
# from there.
_HOMES = {
    "load": "pipeline",
    "EmbeddingConcept": "concept",
    "LoraConcept": "concept",
    "TokenConcept": "concept",
    "FlowDensity": "density",
    "GaussianDensity": "density",
    "MixtureDensity": "density",
    "Rarity": "objectives",
    "Anchor": "objectives",
    "Direction": "objectives",
    "MeanAnchor": "objectives",
    "Near": "objectives",
    "Spread": "objectives",
    "LearnConfig": "conceptlab",
    "learn_concept": "conceptlab",
    "Family": "evolution",
    "MixConfig": "evolution",
    "evolve": "evolution",
    "mix": "evolution",
    "guide_decoder": "guidance",
    "guide_prior": "guidance",
    "invert": "recipes",
    "steer": "recipes",
    "SteerConfig": "recipes",
    "BlipVqa": "vqa",
    "Blip2Vqa": "vqa",
    "SmolVlmVqa": "vqa",
    "ZeroShotVqa": "vqa",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'creativelib' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

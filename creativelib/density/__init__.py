"""How rare an image embedding is, under four estimates of what is usual; see `base.Density` for what all of them offer."""

from .base import FORMAT, Density, load
from .flow import FlowDensity
from .gaussian import GaussianDensity
from .mixture import MixtureDensity
from .moments import Moments

__all__ = [
    "FORMAT",
    "Density",
    "FlowDensity",
    "GaussianDensity",
    "MixtureDensity",
    "Moments",
    "load",
]

"""Densities over image embeddings: estimates of how rare an embedding is.

`base.Density` defines the interface that all of them share.
"""

from .base import FORMAT, Density, FewSamplesWarning, load
from .custom import CustomDensity
from .flow import FlowDensity
from .gaussian import GaussianDensity
from .mixture import MixtureDensity
from .moments import Moments

__all__ = [
    "FORMAT",
    "CustomDensity",
    "Density",
    "FewSamplesWarning",
    "FlowDensity",
    "GaussianDensity",
    "MixtureDensity",
    "Moments",
    "load",
]

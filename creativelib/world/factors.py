"""Discrete factors, their colors, and the tables of species over them."""

from collections.abc import Mapping
from dataclasses import dataclass

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.16, 0.18),
    "orange": (0.97, 0.55, 0.13),
    "yellow": (0.98, 0.85, 0.22),
    "green": (0.27, 0.66, 0.29),
    "blue": (0.21, 0.43, 0.86),
    "purple": (0.55, 0.27, 0.72),
    "pink": (0.97, 0.58, 0.74),
    "brown": (0.49, 0.30, 0.16),
    "gray": (0.57, 0.59, 0.63),
    "white": (0.97, 0.97, 0.96),
    "black": (0.19, 0.18, 0.21),
}


@dataclass(frozen=True)
class Factor:
    """One discrete property."""

    name: str
    # The words that a caption uses for each value, such as "bushy": "a bushy tail".
    values: Mapping[str, str]
    # Whether the factor changes the form. Pattern and color change only the surface.
    structural: bool = True


COLOR = Factor("color", {name: name for name in COLORS}, structural=False)

# A species gives every factor either one value or a set of values with probabilities.
Species = Mapping[str, str | Mapping[str, float]]

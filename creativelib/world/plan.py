"""What a category is: a body plan of discrete factors, a table of named species, and a way to draw any combination."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .canvas import Canvas

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
    """One discrete property. `values` maps each value to the words a caption uses for it ("a bushy tail")."""

    name: str
    values: Mapping[str, str]
    structural: bool = True


COLOR = Factor("color", {name: name for name in COLORS}, structural=False)

# A species gives every factor either one value or a set of values with probabilities.
Species = Mapping[str, str | Mapping[str, float]]


@dataclass(frozen=True)
class Category:
    """A kind of thing. Its species are equally common."""

    name: str
    factors: tuple[Factor, ...]
    species: Mapping[str, Species]
    draw: "Callable[[Canvas], None]"

    def __post_init__(self) -> None:
        for name, species in self.species.items():
            for factor in self.factors:
                entry = species.get(factor.name)
                table = {entry: 1.0} if isinstance(entry, str) else entry
                if not table or abs(sum(table.values()) - 1) > 1e-9 or not set(table) <= set(factor.values):
                    raise ValueError(f"{self.name} species {name!r}: factor {factor.name!r} has the table {entry!r}; "
                                     f"allowed are probabilities that sum to 1 over {list(factor.values)}")

    def factor(self, name: str) -> Factor:
        return next(f for f in self.factors if f.name == name)

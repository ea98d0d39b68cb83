"""Categories: a body plan of factors, a table of named species, and a function that draws."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .canvas import Canvas
from .factors import Factor, Species


@dataclass(frozen=True)
class Category:
    """A kind of thing. Its species are equally common.

    Raises ValueError if a species lacks a factor, gives it a value that the factor does not have,
    or gives probabilities that do not sum to 1.
    """

    name: str
    # The last factor is the color, the one before it the pattern.
    factors: tuple[Factor, ...]
    # For each species' name its table over the factors.
    species: Mapping[str, Species]
    # Paints any combination of the factors' values, not only those of the species.
    draw: Callable[[Canvas], None]

    def __post_init__(self) -> None:
        for name, species in self.species.items():
            for factor in self.factors:
                entry = species.get(factor.name)
                table = {entry: 1.0} if isinstance(entry, str) else entry
                if (
                    not table
                    or abs(sum(table.values()) - 1) > 1e-9
                    or not set(table) <= set(factor.values)
                ):
                    raise ValueError(
                        f"{self.name} species {name!r}: factor {factor.name!r} has the table "
                        f"{entry!r}; expected probabilities that sum to 1 over "
                        f"{list(factor.values)}"
                    )

    def factor(self, name: str) -> Factor:
        """Return the factor called `name`."""
        return next(f for f in self.factors if f.name == name)

"""What a category is: a body plan of discrete factors, a table of named species, and a way to draw any combination."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .canvas import Canvas
from .factors import Factor, Species


@dataclass(frozen=True)
class Category:
    """A kind of thing. Its species are equally common."""

    name: str
    factors: tuple[Factor, ...]
    species: Mapping[str, Species]
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
                        f"{self.name} species {name!r}: factor {factor.name!r} has the table {entry!r}; "
                        f"expected probabilities that sum to 1 over {list(factor.values)}"
                    )

    def factor(self, name: str) -> Factor:
        return next(f for f in self.factors if f.name == name)

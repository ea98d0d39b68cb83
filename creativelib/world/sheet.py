"""Contact sheets of a category: its species, wild members and styles."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import whole
from ..seeds import seeded
from . import category as named
from . import styles, truth
from .distribution import Given
from .rendering import render, sample_pose

# Most pictures of a kind, and most pixels a side.
MOST_PICTURES = 1000
MOST_SIZE = 4096


@dataclass(frozen=True)
class Sheet:
    """Pictures to lay out in a grid, with their words."""

    # Pictures in [0, 1].
    pictures: Float[Tensor, "n 3 h w"]
    # A title for each picture, "" for none.
    titles: list[str]
    # Number of pictures in a row.
    columns: int
    # Alternative text for readers who cannot see the pictures.
    alt: str


def species(category: str, each: int = 4, seed: int = 0, size: int = 64) -> Sheet:
    """Draw `each` members of every species in a row, all within its table, in photo style.

    Raises InputError, as all sheets do, for an unknown category and for numbers out of range.
    """
    _check_sizes(each, size)
    generator = seeded(seed)
    kind = named(category)
    mixture = truth(category)
    factors = []
    for i, name in enumerate(kind.species):
        members, _ = mixture.sample(20 * each, generator, given=Given(category, name))
        # The leak puts about one member in eight outside its species' table. Draw 20 times as many
        # as needed, so that enough are inside.
        inside = ~mixture.outside(members)[:, i].any(1)
        factors.append(members[inside][:each])
    titles = [name if i == 0 else "" for name in kind.species for i in range(each)]
    alt = (
        f"Contact sheet of the category {category}, {each} pictures for each species: "
        f"{', '.join(kind.species)}."
    )
    pictures = _draw(category, torch.cat(factors), names=["photo"], generator=generator, size=size)
    return Sheet(pictures=pictures, titles=titles, columns=each * max(1, 12 // each), alt=alt)


def wild(category: str, count: int = 24, seed: int = 0, size: int = 64) -> Sheet:
    """Draw members that combine all values of all factors freely, in photo style."""
    _check_sizes(count, size)
    generator = seeded(seed)
    factors, _ = truth(category).sample(count, generator, wild=1.0)
    names = [f.name for f in named(category).factors]
    alt = (
        f"Contact sheet of {count} wild members of the category {category}: "
        f"{', '.join(names[:-1])} and {names[-1]} combined at random."
    )
    pictures = _draw(category, factors, names=["photo"], generator=generator, size=size)
    return Sheet(pictures=pictures, titles=[""] * count, columns=8, alt=alt)


def in_styles(category: str, each: int = 6, seed: int = 0, size: int = 64) -> Sheet:
    """Draw the same `each` members in every named style, a row for each style."""
    _check_sizes(each, size)
    generator = seeded(seed)
    factors, _ = truth(category).sample(each, generator)
    titles = [name if i == 0 else "" for name in styles.NAMES for i in range(each)]
    alt = (
        f"Contact sheet of {each} members of the category {category}, "
        f"a row in each of the styles {', '.join(styles.NAMES)}."
    )
    pictures = _draw(category, factors, names=list(styles.NAMES), generator=generator, size=size)
    return Sheet(pictures=pictures, titles=titles, columns=each, alt=alt)


def _check_sizes(pictures: int, size: int) -> None:
    whole("number of pictures", pictures, 1, MOST_PICTURES)
    whole("size", size, 1, MOST_SIZE)


def _draw(
    category: str,
    factors: Int[Tensor, "n f"],
    names: list[str],
    generator: torch.Generator,
    size: int,
) -> Float[Tensor, "m 3 h w"]:
    """Draw the same members, in the same poses, in each of the named styles."""
    kind = named(category)
    pose = sample_pose(len(factors), generator)
    indices = torch.tensor([styles.index(name) for name in names])
    return torch.cat(
        [
            render(kind, factors, style=style, pose=pose, size=size)
            for style in indices[:, None].expand(-1, len(factors), -1)
        ]
    )

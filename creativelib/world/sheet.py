"""Contact sheets of a category: its species, wild members, its styles. `plots.grid` draws them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import category as named
from . import styles, truth
from .distribution import Given
from .rendering import render, sample_pose


@dataclass(frozen=True)
class Sheet:
    """Pictures in [0, 1] with a title for each ("" for none), how many go in a row, and the words for who cannot see them."""

    pictures: Float[Tensor, "n 3 h w"]
    titles: list[str]
    columns: int
    alt: str


def species(category: str, each: int = 4, seed: int = 0, size: int = 64) -> Sheet:
    """`each` members of every species in a row, all within its table, in photo style."""
    generator = torch.Generator().manual_seed(seed)
    kind = named(category)
    known = truth(category)
    factors = []
    for i, name in enumerate(kind.species):
        members, _ = known.sample(20 * each, generator, given=Given(category, name))
        factors.append(
            members[~known.outside(members)[:, i].any(1)][:each]
        )  # the leak makes about one in eight an outsider
    titles = [name if i == 0 else "" for name in kind.species for i in range(each)]
    alt = f"Contact sheet of the category {category}, {each} pictures for each species: {', '.join(kind.species)}."
    return Sheet(
        _draw(category, torch.cat(factors), ["photo"], generator, size),
        titles,
        each * max(1, 12 // each),
        alt,
    )


def wild(category: str, count: int = 24, seed: int = 0, size: int = 64) -> Sheet:
    """Members that combine all values of all factors freely, in photo style."""
    generator = torch.Generator().manual_seed(seed)
    factors, _ = truth(category).sample(count, generator, wild=1.0)
    names = [f.name for f in named(category).factors]
    alt = f"Contact sheet of {count} wild members of the category {category}: {', '.join(names[:-1])} and {names[-1]} combined at random."
    return Sheet(_draw(category, factors, ["photo"], generator, size), [""] * count, 8, alt)


def in_styles(category: str, each: int = 6, seed: int = 0, size: int = 64) -> Sheet:
    """The same `each` members in every named style, a row for each style."""
    generator = torch.Generator().manual_seed(seed)
    factors, _ = truth(category).sample(each, generator)
    titles = [name if i == 0 else "" for name in styles.NAMES for i in range(each)]
    alt = f"Contact sheet of {each} members of the category {category}, a row in each of the styles {', '.join(styles.NAMES)}."
    return Sheet(_draw(category, factors, list(styles.NAMES), generator, size), titles, each, alt)


def _draw(
    category: str,
    factors: Int[Tensor, "n f"],
    names: list[str],
    generator: torch.Generator,
    size: int,
) -> Float[Tensor, "m 3 h w"]:
    """The same members, in the same poses, in each of the styles."""
    pose = sample_pose(len(factors), generator)
    style = torch.tensor([styles.index(name) for name in names])[:, None].expand(
        -1, len(factors), -1
    )
    return torch.cat([render(named(category), factors, rows, pose, size) for rows in style])

"""Random scenes of the whole world: the facts from which pictures are drawn and captioned."""

import random
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import whole, within
from . import CATEGORIES, captions, styles, truth
from . import category as named
from .rendering import render, sample_pose

MAX_FACTORS = max(len(c.factors) for c in CATEGORIES)
# Share of pictures in a random point of the style space, which mostly has no name.
UNNAMED_STYLES = 0.10
# Share of photos among the other pictures.
PHOTO = 0.40


@dataclass(frozen=True)
class Scenes:
    """The facts behind n pictures."""

    # (n,) indices into CATEGORIES.
    category: Int[Tensor, "n"]
    # (n, f) value indices, -1 beyond a category's factors.
    factors: Int[Tensor, "n f"]
    # (n,) indices into the category's species, -1 for the wild.
    species: Int[Tensor, "n"]
    # (n, 5) indices into styles.FACTORS.
    style: Int[Tensor, "n 5"]
    # (n, 9) nuisance variables in the units of rendering.POSE.
    pose: Float[Tensor, "n 9"]

    def __len__(self) -> int:
        return len(self.category)

    def __getitem__(self, rows: "slice | Tensor") -> "Scenes":
        return Scenes(
            category=self.category[rows],
            factors=self.factors[rows],
            species=self.species[rows],
            style=self.style[rows],
            pose=self.pose[rows],
        )


def sample_styles(n: int, generator: torch.Generator | None = None) -> Int[Tensor, "n 5"]:
    """Draw random styles.

    Photos are the most frequent and the other named styles are equally likely. A share of
    `UNNAMED_STYLES` is uniform over the whole style space.
    """
    named = torch.tensor([styles.index(name) for name in styles.NAMES])
    shares = torch.tensor([PHOTO] + [(1 - PHOTO) / (len(named) - 1)] * (len(named) - 1))
    style = named[torch.multinomial(shares, n, replacement=True, generator=generator)]
    anywhere = torch.stack(
        [torch.randint(len(v), (n,), generator=generator) for v in styles.FACTORS.values()], 1
    )
    unnamed = torch.rand(n, generator=generator) < UNNAMED_STYLES
    return torch.where(unnamed[:, None], anywhere, style)


def sample_scenes(
    n: int,
    generator: torch.Generator | None = None,
    wild: float | None = None,
    category: str | None = None,
) -> Scenes:
    """Draw random scenes.

    `wild` replaces the truth's 3 % of wild pictures. If `category` is None, all categories are
    equally likely. Raises InputError if there is no such category, and for a bad number.
    """
    whole("n", n, 1)
    if wild is not None:
        within("wild", wild, 0, 1)
    which = torch.randint(len(CATEGORIES), (n,), generator=generator)
    if category is not None:
        which = torch.full((n,), CATEGORIES.index(named(category)))
    factors = torch.full((n, MAX_FACTORS), -1)
    species = torch.full((n,), -1)
    for i, kind in enumerate(CATEGORIES):
        rows = (which == i).nonzero()[:, 0]
        if len(rows):
            values, component = truth(kind.name).sample(len(rows), generator, wild)
            factors[rows, : values.shape[1]] = values
            species[rows] = torch.where(component == len(kind.species), -1, component)
    return Scenes(
        category=which,
        factors=factors,
        species=species,
        style=sample_styles(n, generator),
        pose=sample_pose(n, generator),
    )


def draw(scenes: Scenes, size: int = 64) -> Float[Tensor, "n 3 h w"]:
    """Draw scenes of mixed categories as pictures in [0, 1] with `size` pixels a side."""
    pictures = scenes.pose.new_empty(len(scenes), 3, size, size)
    for i, kind in enumerate(CATEGORIES):
        rows = (scenes.category == i).nonzero()[:, 0]
        if len(rows):
            part = scenes[rows]
            pictures[rows] = render(
                kind,
                factors=part.factors[:, : len(kind.factors)],
                style=part.style,
                pose=part.pose,
                size=size,
            )
    return pictures


def style_names(style: Int[Tensor, "n 5"]) -> list[str | None]:
    """Name the style of each row. The entry is None if the style has no name."""
    names = {tuple(styles.index(name)): name for name in styles.NAMES}
    return [names.get(tuple(row)) for row in style.tolist()]


def caption(scenes: Scenes, rng: random.Random, wild: float) -> list[str]:
    """Draw a random caption for each scene of a set whose share of wild scenes is `wild`."""
    bare = captions.bare_wild(wild)
    visible = styles.color_visible(scenes.style).tolist()
    names = style_names(scenes.style)
    categories = scenes.category.tolist()
    factors = scenes.factors.tolist()
    species = scenes.species.tolist()
    texts = []
    for i in range(len(scenes)):
        kind = CATEGORIES[categories[i]]
        values = {f.name: list(f.values)[v] for f, v in zip(kind.factors, factors[i], strict=False)}
        text = captions.caption(
            category=kind,
            values=values,
            species=list(kind.species)[species[i]] if species[i] >= 0 else None,
            style=names[i],
            color_visible=visible[i],
            rng=rng,
            bare_if_wild=bare,
        )
        texts.append(text)
    return texts

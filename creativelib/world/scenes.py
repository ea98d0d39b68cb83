"""Random scenes of the whole world: everything a picture is drawn from and captioned by."""

import random
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import CATEGORIES, captions, styles, truth
from .rendering import render, sample_pose

MAX_FACTORS = max(len(c.factors) for c in CATEGORIES)
UNNAMED_STYLES = 0.10
PHOTO = 0.40


@dataclass(frozen=True)
class Scenes:
    """n pictures' worth of facts.

    category: (n,) index into CATEGORIES. factors: (n, f) value indices, -1 beyond a category's factors. species: (n,) index
    into the category's species, -1 for the wild. style: (n, 5) indices into styles.FACTORS. pose: (n, 9), see render.POSE.
    """

    category: Int[Tensor, "n"]
    factors: Int[Tensor, "n f"]
    species: Int[Tensor, "n"]
    style: Int[Tensor, "n 5"]
    pose: Float[Tensor, "n 9"]

    def __len__(self) -> int:
        return len(self.category)

    def __getitem__(self, rows: "slice | Tensor") -> "Scenes":
        return Scenes(
            self.category[rows],
            self.factors[rows],
            self.species[rows],
            self.style[rows],
            self.pose[rows],
        )


def sample_styles(n: int, generator: torch.Generator | None = None) -> Int[Tensor, "n 5"]:
    """Photos most often, the other named styles alike, and some points of the style space without a name."""
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
    """Random scenes; `wild` replaces the truth's 3 % of wild pictures; `category` None mixes all alike."""
    which = torch.randint(len(CATEGORIES), (n,), generator=generator)
    if category is not None:
        which = torch.full((n,), [c.name for c in CATEGORIES].index(category))
    factors = torch.full((n, MAX_FACTORS), -1)
    species = torch.full((n,), -1)
    for i, kind in enumerate(CATEGORIES):
        rows = (which == i).nonzero()[:, 0]
        if len(rows):
            drawn, component = truth(kind.name).sample(len(rows), generator, wild)
            factors[rows, : drawn.shape[1]] = drawn
            species[rows] = torch.where(component == len(kind.species), -1, component)
    return Scenes(which, factors, species, sample_styles(n, generator), sample_pose(n, generator))


def draw(scenes: Scenes, size: int = 64) -> Float[Tensor, "n 3 h w"]:
    """Render scenes of mixed categories; pictures in [0, 1]."""
    pictures = scenes.pose.new_empty(len(scenes), 3, size, size)
    for i, kind in enumerate(CATEGORIES):
        rows = (scenes.category == i).nonzero()[:, 0]
        if len(rows):
            part = scenes[rows]
            pictures[rows] = render(
                kind, part.factors[:, : len(kind.factors)], part.style, part.pose, size
            )
    return pictures


def style_names(style: Int[Tensor, "n 5"]) -> list[str | None]:
    """The named style of each row, None where it has no name."""
    names = {tuple(styles.index(name)): name for name in styles.NAMES}
    return [names.get(tuple(row)) for row in style.tolist()]


def caption(scenes: Scenes, rng: random.Random, wild: float) -> list[str]:
    """A random caption for each scene of a set in which `wild` of all scenes are wild."""
    bare = captions.bare_wild(wild)
    visible = styles.color_visible(scenes.style).tolist()
    names = style_names(scenes.style)
    out = []
    for i, (c, row, s) in enumerate(
        zip(scenes.category.tolist(), scenes.factors.tolist(), scenes.species.tolist(), strict=True)
    ):
        kind = CATEGORIES[c]
        values = {f.name: list(f.values)[v] for f, v in zip(kind.factors, row, strict=False)}
        species = list(kind.species)[s] if s >= 0 else None
        out.append(captions.caption(kind, values, species, names[i], visible[i], rng, bare))
    return out

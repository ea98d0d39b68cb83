"""Pages: sets of pictures that share hidden facts, as the pictures of a web page do.

Semantica (arXiv 2405.14857) learns from pairs of pictures of one page. Here the page's facts are known, and so is the exact
distribution of its pictures: `truth(page.shared.category).log_prob(factors, page.shared)`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import CATEGORIES, styles, truth
from .distribution import Given
from .rendering import sample_pose
from .scenes import MAX_FACTORS, PHOTO, UNNAMED_STYLES, Scenes, sample_styles, style_names


@dataclass(frozen=True)
class Page:
    """Pictures of one category and what they share.

    shared: the category, the values of some factors, and the style's name if the style is shared and has one.
    same_style: whether all pictures have one style, named or not.
    """

    scenes: Scenes
    shared: Given
    same_style: bool


def pages(
    size: int = 8, generator: torch.Generator | None = None, wild: float | None = None
) -> Iterator[Page]:
    """Endless random pages of `size` pictures.

    Half of the pages share the style, and each shares some of its factors: any number from one to all is as likely. What is
    shared is read off a picture drawn from the truth, and the rest is drawn from the truth given what is shared. So over
    many pages pictures are distributed as the truth says. `wild` replaces the truth's 3 % of wild pictures.
    """
    while True:
        which = int(torch.randint(len(CATEGORIES), (1,), generator=generator))
        kind = CATEGORIES[which]
        known = truth(CATEGORIES[which].name)
        model = known.sample(1, generator, wild)[0][0].tolist()
        count = int(torch.randint(1, len(kind.factors) + 1, (1,), generator=generator))
        chosen = torch.randperm(len(kind.factors), generator=generator)[:count].tolist()
        values = {kind.factors[j].name: list(kind.factors[j].values)[model[j]] for j in chosen}
        same_style = bool(torch.rand(1, generator=generator) < 0.5)
        style = (
            sample_styles(1, generator).expand(size, -1)
            if same_style
            else sample_styles(size, generator)
        )
        factors = torch.full((size, MAX_FACTORS), -1)
        factors[:, : len(kind.factors)], species = known.sample(
            size, generator, wild, Given(kind.name, values=values)
        )
        species = torch.where(species == len(kind.species), -1, species)
        scenes = Scenes(
            torch.full((size,), which), factors, species, style, sample_pose(size, generator)
        )
        yield Page(
            scenes,
            Given(
                kind.name, values=values, style=style_names(style[:1])[0] if same_style else None
            ),
            same_style,
        )


def style_log_prob(style: Int[Tensor, "n 5"]) -> Float[Tensor, " n"]:
    """The log-probability in nats of styles as `sample_styles` draws them."""
    named = [PHOTO] + [(1 - PHOTO) / (len(styles.NAMES) - 1)] * (len(styles.NAMES) - 1)
    share = dict(zip((tuple(styles.index(name)) for name in styles.NAMES), named, strict=True))
    anywhere = (
        UNNAMED_STYLES
        / torch.tensor([len(values) for values in styles.FACTORS.values()]).prod().item()
    )
    return torch.tensor(
        [anywhere + (1 - UNNAMED_STYLES) * share.get(tuple(row), 0.0) for row in style.tolist()],
        dtype=torch.float64,
    ).log()


def shared_by(scenes: Scenes) -> tuple[Float[Tensor, " s"], Float[Tensor, ""]]:
    """What may be known about a page from k of its scenes: the posterior of each set of shared factors (the bits of its number say which,
    number 0 is impossible), and of a shared style.

    A set S is possible if the k agree on it, and then p(S | scenes) is as p(S) p(x_S) ^ (1 - k): to agree on what is rare says more.
    """
    k = len(scenes)
    kind = CATEGORIES[int(scenes.category[0])]
    count = len(kind.factors)
    sets = (torch.arange(1, 2**count)[:, None] >> torch.arange(count)) % 2 == 1
    factors = scenes.factors[:, :count]
    agree = (factors == factors[0]).all(0)
    prior = torch.tensor(
        [1 / (count * comb(count, size)) for size in sets.sum(1).tolist()], dtype=torch.float64
    ).log()
    marginal = truth(kind.name).log_prob(factors[:1].expand(len(sets), -1), visible=sets)
    weight = torch.where((agree | ~sets).all(1), prior + (1 - k) * marginal, -torch.inf)
    same = (scenes.style == scenes.style[0]).all()
    ratio = (1 - k) * style_log_prob(scenes.style[:1])[0]
    style = torch.sigmoid(ratio) if same else torch.zeros((), dtype=torch.float64)
    return torch.cat([weight.new_zeros(1), weight.softmax(0)]), style


def continued(scenes: Scenes, n: int, generator: torch.Generator | None = None) -> Scenes:
    """n more scenes of a page of which some are known, exactly as likely as they are: the best that variations of them can be."""
    kind = CATEGORIES[int(scenes.category[0])]
    known = truth(CATEGORIES[int(scenes.category[0])].name)
    sets, style = shared_by(scenes)
    chosen = torch.multinomial(sets, n, replacement=True, generator=generator)
    factors = torch.full((n, MAX_FACTORS), -1)
    species = torch.full((n,), -1)
    for number in chosen.unique().tolist():
        rows = (chosen == number).nonzero()[:, 0]
        values = {
            f.name: list(f.values)[scenes.factors[0, j]]
            for j, f in enumerate(kind.factors)
            if number >> j & 1
        }
        drawn, component = known.sample(len(rows), generator, given=Given(kind.name, values=values))
        factors[rows, : len(kind.factors)] = drawn
        species[rows] = torch.where(component == len(kind.species), -1, component)
    same = torch.rand(n, generator=generator) < style
    ways = torch.where(same[:, None], scenes.style[:1], sample_styles(n, generator))
    return Scenes(scenes.category[:1].expand(n), factors, species, ways, sample_pose(n, generator))

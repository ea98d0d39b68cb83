"""Pages: sets of pictures that share hidden facts, as the pictures of a web page do.

Semantica (arXiv 2405.14857) learns from pairs of pictures of one page. Here the page's facts are
known, and so is the exact distribution of its pictures:

    truth(page.shared.category).log_prob(factors, page.shared)
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
    """Pictures of one category and the facts that they share."""

    scenes: Scenes
    # The category, the values of some factors, and the style's name if it is shared and has one.
    shared: Given
    # Whether all pictures have one style, named or not.
    same_style: bool


def pages(
    size: int = 8, generator: torch.Generator | None = None, wild: float | None = None
) -> Iterator[Page]:
    """Yield endless random pages of `size` pictures.

    Half of the pages share the style. Each page shares some of its factors, and any number from one
    to all is equally likely. The shared values come from a picture drawn from the truth, and the
    rest is drawn from the truth given the shared values. So over many pages, pictures follow the
    truth. `wild` replaces the truth's 3 % of wild pictures.
    """
    while True:
        which = int(torch.randint(len(CATEGORIES), (1,), generator=generator))
        kind = CATEGORIES[which]
        mixture = truth(kind.name)
        model = mixture.sample(1, generator, wild)[0][0].tolist()
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
        factors[:, : len(kind.factors)], component = mixture.sample(
            size, generator, wild=wild, given=Given(kind.name, values=values)
        )
        scenes = Scenes(
            category=torch.full((size,), which),
            factors=factors,
            species=torch.where(component == len(kind.species), -1, component),
            style=style,
            pose=sample_pose(size, generator),
        )
        name = style_names(style[:1])[0] if same_style else None
        yield Page(scenes, Given(kind.name, values=values, style=name), same_style)


def style_log_prob(style: Int[Tensor, "n 5"]) -> Float[Tensor, " n"]:
    """Compute the log-probability in nats of styles as `sample_styles` draws them."""
    named = [PHOTO] + [(1 - PHOTO) / (len(styles.NAMES) - 1)] * (len(styles.NAMES) - 1)
    share = dict(zip((tuple(styles.index(name)) for name in styles.NAMES), named, strict=True))
    count = torch.tensor([len(values) for values in styles.FACTORS.values()]).prod().item()
    anywhere = UNNAMED_STYLES / count
    return torch.tensor(
        [anywhere + (1 - UNNAMED_STYLES) * share.get(tuple(row), 0.0) for row in style.tolist()],
        dtype=torch.float64,
    ).log()


def shared_by(scenes: Scenes) -> tuple[Float[Tensor, " s"], Float[Tensor, ""]]:
    """Infer from k scenes of a page which facts the page shares.

    Returns the posterior of each set of shared factors and that of a shared style. Bit j of a set's
    index says whether it holds factor j; index 0, the empty set, is impossible. A set S is possible
    if the k scenes agree on it, and then p(S | scenes) is proportional to p(S) p(x_S)^(1 - k):
    agreement on a rare value says more than on a frequent one.
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
    """Draw n more scenes of a page from their exact distribution given some of its scenes.

    No variations of these scenes can match the page better.
    """
    kind = CATEGORIES[int(scenes.category[0])]
    mixture = truth(kind.name)
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
        factors[rows, : len(kind.factors)], component = mixture.sample(
            len(rows), generator, given=Given(kind.name, values=values)
        )
        species[rows] = torch.where(component == len(kind.species), -1, component)
    same = torch.rand(n, generator=generator) < style
    return Scenes(
        category=scenes.category[:1].expand(n),
        factors=factors,
        species=species,
        style=torch.where(same[:, None], scenes.style[:1], sample_styles(n, generator)),
        pose=sample_pose(n, generator),
    )

"""Pages: sets of pictures that share hidden facts, as the pictures of a web page do.

Semantica (arXiv 2405.14857) learns from pairs of pictures of one page. Here the page's facts are known, and so is the exact
distribution of its pictures: `truth(page.shared.category).log_prob(factors, page.shared)`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from . import CATEGORIES, truth
from .render import sample_pose
from .scenes import MAX_FACTORS, Scenes, sample_styles, style_names
from .truth import Given


@dataclass(frozen=True)
class Page:
    """Pictures of one category and what they share.

    shared: the category, the values of some factors, and the style's name if the style is shared and has one.
    same_style: whether all pictures have one style, named or not.
    """

    scenes: Scenes
    shared: Given
    same_style: bool


def pages(size: int = 8, generator: torch.Generator | None = None, wild: float | None = None) -> Iterator[Page]:
    """Endless random pages of `size` pictures.

    Half of the pages share the style, and each shares some of its factors: any number from one to all is as likely. What is
    shared is read off a picture drawn from the truth, and the rest is drawn from the truth given what is shared. So over
    many pages pictures are distributed as the truth says. `wild` replaces the truth's 3 % of wild pictures.
    """
    while True:
        which = int(torch.randint(len(CATEGORIES), (1,), generator=generator))
        kind, known = CATEGORIES[which], truth(CATEGORIES[which].name)
        model = known.sample(1, generator, wild)[0][0].tolist()
        count = int(torch.randint(1, len(kind.factors) + 1, (1,), generator=generator))
        chosen = torch.randperm(len(kind.factors), generator=generator)[:count].tolist()
        values = {kind.factors[j].name: list(kind.factors[j].values)[model[j]] for j in chosen}
        same_style = bool(torch.rand(1, generator=generator) < 0.5)
        style = sample_styles(1, generator).expand(size, -1) if same_style else sample_styles(size, generator)
        factors = torch.full((size, MAX_FACTORS), -1)
        factors[:, : len(kind.factors)], species = known.sample(size, generator, wild, Given(kind.name, values=values))
        species = torch.where(species == len(kind.species), -1, species)
        scenes = Scenes(torch.full((size,), which), factors, species, style, sample_pose(size, generator))
        yield Page(scenes, Given(kind.name, values=values, style=style_names(style[:1])[0] if same_style else None), same_style)

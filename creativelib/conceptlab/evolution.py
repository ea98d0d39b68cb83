"""Mixing concepts and pictures into new concepts, over generations (ConceptLab, arXiv 2308.02669, section 4.3).

    family = Family.of(founders)                                  # four learned concepts
    family = evolve(pipe, family)                                 # two children, one grandchild
    family.save(Path("out/family"))

A child is learned to be like pictures of its parents: like their image embeddings, not like their texts. The released code unpacks the
two in the wrong order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..concept import Concept, init, load
from ..errors import InputError, at_least
from ..optimization.loop import optimize
from ..optimization.objectives import Similarity
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Generators, PriorSampling
from .settling import TEMPLATES, template_offsets


@dataclass(frozen=True)
class MixConfig:
    """How a mixture is learned: from `each` pictures of every parent, drawn in the first of the `templates`, for `steps` steps [2000 in the
    paper]; the rest as in `conceptlab.LearnConfig`.

    The paper learns a vector for a word. One vector cannot say "between these two": what the prior draws for it is the one parent or the
    other (`kind` "subject", with an `lr` of 0.05). A low-rank change of the prior can, so that is the default.
    """

    kind: str = "lora"
    each: int = 4
    samples: int = 2
    steps: int = 90
    lr: float = 0.01
    templates: tuple[str, ...] = TEMPLATES
    sampling: PriorSampling = PriorSampling()

    def __post_init__(self) -> None:
        for name, least in {"each": 1, "samples": 1, "steps": 1}.items():
            at_least(name, getattr(self, name), least)


MIX = MixConfig()


def picture_embeddings(
    pipe: Pipeline, concept: Concept, *, generator: Generators, config: MixConfig = MIX
) -> Float[Tensor, "k n d"]:
    """CLIP's embeddings of `config.each` pictures of each concept."""
    with torch.no_grad():
        z = concept.sample(
            pipe, config.templates[0], config.each, noise=generator, sampling=config.sampling
        )
        return pipe.encode_images(pipe.decode(z, generator=generator))


def mix(
    pipe: Pipeline,
    word: str,
    parents: Float[Tensor, "k p n d"],
    weights: Sequence[float] | None = None,
    config: MixConfig = MIX,
    seed: int = 0,
    *,
    progress: bool = False,
) -> Concept:
    """Learn k concepts of a word, each a mixture of its p parents, which are given as embeddings of n pictures each (equation 5).

    In another template than the first the parents' embeddings are moved as `settle.shifts` says, so that a mixture can be drawn in any way.
    `weights` say how much each parent counts, by default all the same. What is mixed may be learned concepts (see `seen`) or any pictures.
    Raises InputError for other than p weights, and for negative ones.
    """
    k, p, n, _ = parents.shape
    share = torch.tensor([1.0] * p if weights is None else list(weights))
    if len(share) != p or (share < 0).any() or not share.sum() > 0:
        raise InputError(
            f"weights is {weights}; expected {p} numbers, one for each parent, of which none is below and one above 0"
        )
    start = init(
        pipe, config.kind, word, k, torch.Generator().manual_seed(seed), config.templates[0]
    )
    own = (share / share.sum()).repeat_interleave(n) / n
    moved = template_offsets(pipe, word, config.templates, config.sampling)
    terms = [Similarity(parents.flatten(1, 2) + shift, own) for shift in moved]
    steps = optimize(
        pipe,
        start,
        terms,
        config.templates,
        config.steps,
        config.lr,
        1000 * seed,
        config.samples,
        config.sampling,
    )
    *_, last = tqdm(steps, total=config.steps, desc="mixing", disable=not progress)
    return last.concept


@dataclass(frozen=True, eq=False)
class Member:
    """A concept of a family (k = 1), the numbers of its parents, and its generation; founders have no parents and are generation 0."""

    concept: Concept
    parents: tuple[int, ...] = ()
    generation: int = 0


@dataclass(frozen=True, eq=False)
class Family:
    """Concepts and who came from whom, oldest first."""

    members: tuple[Member, ...]

    @classmethod
    def of(cls, founders: Concept) -> "Family":
        """A family without children: each of k concepts is a founder."""
        return cls(tuple(Member(founders.select([i])) for i in range(len(founders))))

    def last_generation(self) -> list[int]:
        """The numbers of the youngest."""
        youngest = max(member.generation for member in self.members)
        return [i for i, member in enumerate(self.members) if member.generation == youngest]

    def save(self, folder: Path) -> None:
        """Write family.json and a folder for each member."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, member in enumerate(self.members):
            (folder / str(i)).mkdir(exist_ok=True)
            member.concept.save(folder / str(i))
        tree = [
            {"parents": member.parents, "generation": member.generation} for member in self.members
        ]
        (folder / "family.json").write_text(json.dumps(tree, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path, pipe: Pipeline) -> "Family":
        """Read what `save` wrote. Raises InputError for a folder without a family."""
        file = folder / "family.json"
        if not file.is_file():
            raise InputError(
                f"folder {str(folder)!r} holds no family; expected a folder with family.json"
            )
        return cls(
            tuple(
                Member(load(folder / str(i), pipe), tuple(row["parents"]), row["generation"])
                for i, row in enumerate(json.loads(file.read_text()))
            )
        )


def next_generation(
    pipe: Pipeline,
    family: Family,
    config: MixConfig = MIX,
    seed: int = 0,
    *,
    progress: bool = False,
) -> Family:
    """Let the youngest have one child, two by two; who is left over without a partner has none. All children are learned in one batch.

    Raises InputError for a family with a single youngest member.
    """
    youngest = family.last_generation()
    if len(youngest) < 2:
        raise InputError(
            "family has a single youngest member; expected at least two, who can have a child"
        )
    pairs = list(zip(youngest[::2], youngest[1::2], strict=False))
    seed += len(family.members)
    generator = torch.Generator().manual_seed(seed)
    pictures = {
        i: picture_embeddings(pipe, family.members[i].concept, generator=generator, config=config)[
            0
        ]
        for pair in pairs
        for i in pair
    }
    parents = torch.stack([torch.stack([pictures[i] for i in pair]) for pair in pairs])
    first = family.members[youngest[0]]
    children = mix(pipe, first.concept.word, parents, config=config, seed=seed, progress=progress)
    return Family(
        (
            *family.members,
            *(
                Member(children.select([i]), pair, first.generation + 1)
                for i, pair in enumerate(pairs)
            ),
        )
    )


def evolve(pipe: Pipeline, family: Family, config: MixConfig = MIX, seed: int = 0) -> Family:
    """Generation after generation, until a single youngest is left. Raises InputError as `next_generation`."""
    family = next_generation(pipe, family, config, seed)
    while len(family.last_generation()) > 1:
        family = next_generation(pipe, family, config, seed)
    return family

"""Mixing concepts and pictures into new concepts, over generations (ConceptLab, section 4.3).

    family = Family.of(founders)                                  # four learned concepts
    family = evolve(pipe, family)                                 # two children, one grandchild
    family.save("out/family")

A child is learned to be like pictures of its parents: like their image embeddings, not like their
texts. The released code unpacks the two in the wrong order. Source: arXiv 2308.02669.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import KINDS, Concept, init, load
from ..english import clean_templates, clean_word
from ..errors import MOST, InputError, above, check_fields, listed, one_of, whole, within
from ..files import write_json
from ..optimization.loop import drain, optimize
from ..optimization.objectives import Similarity
from ..seeds import LARGEST, check_seed, first_seed, seeded
from ..sharing import normal_tensors
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Generators, PriorSampling
from .settling import TEMPLATES, template_offsets


@dataclass(frozen=True)
class MixConfig:
    """Settings of a mixture. Raises InputError for values out of range.

    The paper learns a vector for a word. One vector cannot say "between these two": the prior draws
    the one parent or the other for it (`kind` "subject", with an `lr` of 0.05). A low-rank change
    of the prior can, so that is the default.
    """

    # What is optimized, see `concept`.
    kind: str = "lora"
    # Pictures drawn of every parent, in the first of the templates.
    each: int = 4
    # Embeddings drawn from the mixture at a step.
    samples: int = 2
    # Steps of AdamW (2000 in the paper), and their length in units of the concept's scale.
    steps: int = 90
    lr: float = 0.01
    # Prompts with {} in the concept's place; a step takes the next of them.
    templates: tuple[str, ...] = TEMPLATES
    # How the prior is sampled.
    sampling: PriorSampling = PriorSampling()

    def __post_init__(self) -> None:
        check_fields(self, whole, {"each": (1,), "samples": (1,), "steps": (1,)})
        check_fields(self, above, {"lr": (0,)})
        check_fields(self, clean_templates, {"templates": ()})
        one_of("kind", self.kind, KINDS)


MIX = MixConfig()


def picture_embeddings(
    pipe: Pipeline, concept: Concept, *, generator: Generators, config: MixConfig = MIX
) -> Float[Tensor, "k n d"]:
    """Draw `config.each` pictures of each concept and embed them with CLIP."""
    template = config.templates[0]
    with torch.no_grad():
        z = concept.sample(pipe, template, config.each, noise=generator, sampling=config.sampling)
        return pipe.encode_images(pipe.decode(z, generator=generator))


@normal_tensors()
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
    """Learn k concepts of a word, each a mixture of its p parents (equation 5).

    parents: embeddings of n pictures of each, of learned concepts (see `picture_embeddings`) or
        any.
    weights: how much each parent counts, relative to the others: they are divided by their sum. By
        default all count the same.

    In another template than the first the parents' embeddings are moved by the template's offset,
    so that a mixture can be drawn in any way. Raises InputError for a bad word or seed, for other
    than p weights, and for negative ones.
    """
    word = clean_word("word", word)
    check_seed(seed)
    k, p, n, _ = parents.shape
    share = torch.tensor(check_weights([1.0] * p if weights is None else weights, p))
    generator = seeded(seed)
    start = init(pipe, config.kind, word, k, generator, config.templates[0])
    per_picture = (share / share.sum()).repeat_interleave(n) / n
    targets = parents.flatten(1, 2)
    offsets = template_offsets(pipe, word, config.templates, config.sampling)
    states = optimize(
        pipe,
        start,
        [Similarity(targets + offset, per_picture) for offset in offsets],
        config.templates,
        steps=config.steps,
        lr=config.lr,
        seed=first_seed(seed),
        n=config.samples,
        sampling=config.sampling,
    )
    return drain(states, config.steps, "mixing", lambda step: {}, progress=progress).concept


def check_weights(weights: object, parents: int) -> list[float]:
    """Return weights, one for each parent. Raises InputError unless none is below and one above 0.

    They need not sum to 1.
    """
    found = [within("weights", weight, 0, MOST) for weight in listed("weights", weights)]
    if len(found) != parents or not sum(found) > 0:
        raise InputError(
            f"weights is {found}; expected {parents} numbers, one for each parent, none of them "
            "below and one above 0"
        )
    return found


@dataclass(frozen=True, eq=False)
class Member:
    """A concept of a family (k = 1)."""

    concept: Concept
    # The parents' numbers; founders have none.
    parents: tuple[int, ...] = ()
    # 0 for founders.
    generation: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Family:
    """Concepts and their parents, oldest first."""

    members: tuple[Member, ...]

    @classmethod
    def of(cls, founders: Concept) -> "Family":
        """Start a family without children: each of k concepts is a founder."""
        return cls(tuple(Member(founders.select([i])) for i in range(len(founders))))

    def __repr__(self) -> str:
        sizes = [0] * (1 + max(member.generation for member in self.members))
        for member in self.members:
            sizes[member.generation] += 1
        word = self.members[0].concept.word
        return f"Family({len(self.members)} concepts of {word!r}; by generation {sizes})"

    def last_generation(self) -> list[int]:
        """List the numbers of the youngest."""
        youngest = max(member.generation for member in self.members)
        return [i for i, member in enumerate(self.members) if member.generation == youngest]

    def save(self, folder: str | Path) -> None:
        """Write family.json and a folder for each member into a folder, which is created.

        Members that the folder holds already are left as they are. family.json comes last, so that
        a folder in which this was interrupted holds the old family, or none if it was another one.
        """
        folder = Path(folder)
        file = folder / "family.json"
        listed = len(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else 0
        for i, member in enumerate(self.members):
            if member.concept.is_in(folder / str(i)):
                continue
            if i < listed:
                file.unlink(missing_ok=True)
            member.concept.save(folder / str(i))
        tree = [
            {"parents": member.parents, "generation": member.generation} for member in self.members
        ]
        write_json(file, tree, indent=1)

    @classmethod
    def load(cls, folder: str | Path, pipe: Pipeline) -> "Family":
        """Read what `save` wrote. Raises InputError for a folder without a family."""
        folder = Path(folder)
        file = folder / "family.json"
        if not file.is_file():
            raise InputError(
                f"folder {str(folder)!r} holds no family; expected a folder with family.json"
            )
        members = [
            Member(load(folder / str(i), pipe), tuple(row["parents"]), row["generation"])
            for i, row in enumerate(json.loads(file.read_text(encoding="utf-8")))
        ]
        return cls(tuple(members))


def next_generation(
    pipe: Pipeline,
    family: Family,
    config: MixConfig = MIX,
    seed: int = 0,
    *,
    progress: bool = False,
) -> Family:
    """Pair the youngest members and learn one child per pair, all in one batch.

    With an odd number, the last stays single. Raises InputError for a bad seed, and for a family
    with a single youngest member.
    """
    check_seed(seed)
    youngest = family.last_generation()
    if len(youngest) < 2:
        raise InputError(
            "family has a single youngest member; expected at least two, who can have a child"
        )
    pairs = list(zip(youngest[::2], youngest[1::2], strict=False))
    seed = (seed + len(family.members)) % (LARGEST + 1)
    generator = seeded(seed)
    pictures = {}
    for i in [i for pair in pairs for i in pair]:
        concept = family.members[i].concept
        pictures[i] = picture_embeddings(pipe, concept, generator=generator, config=config)[0]
    parents = torch.stack([torch.stack([pictures[i] for i in pair]) for pair in pairs])
    first = family.members[youngest[0]]
    children = mix(pipe, first.concept.word, parents, config=config, seed=seed, progress=progress)
    born = [
        Member(children.select([i]), pair, first.generation + 1) for i, pair in enumerate(pairs)
    ]
    return Family((*family.members, *born))


def evolve(pipe: Pipeline, family: Family, config: MixConfig = MIX, seed: int = 0) -> Family:
    """Learn generation after generation, until a single youngest member is left.

    Raises InputError as `next_generation` does.
    """
    family = next_generation(pipe, family, config, seed)
    while len(family.last_generation()) > 1:
        family = next_generation(pipe, family, config, seed)
    return family

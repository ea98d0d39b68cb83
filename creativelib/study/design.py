"""What a user study shows to whom: pure functions of the study and a participant's seed.

Methods are blinded. What a participant sees, identifiers included, depends on how many methods there are and never on what they are called.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from types import MappingProxyType

from ..english import article
from ..errors import InputError, at_least

SCALE = 5


@dataclass(frozen=True)
class Question:
    """`name` is what votes are stored under, `text` what is asked. An answer is the number of one of `options`, counted from 1."""

    name: str
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """One picture: number `index`, counted from 0, of those that a method made of a category."""

    method: str
    category: str
    index: int


@dataclass(frozen=True)
class Trial:
    """One page. `items` are its pictures: one to rate, two to compare (left, right), none in an attention check.

    `known` is the right answer of a check and None elsewhere. The questions name the category and never a method.
    """

    id: str
    items: tuple[Item, ...]
    questions: tuple[Question, ...]
    known: int | None = None


@dataclass(frozen=True)
class Study:
    """Every participant rates all `pictures` of each method and category, compares the first `pairs` of them between each two methods, and
    meets `checks` attention checks. `name` tells this study from others, `seed` draws its identifiers and the checks' answers.

    Raises InputError for names that are empty or not unique, no pictures, more pairs than pictures, pairs of a single method, no checks,
    and more checks than other trials.
    """

    name: str
    methods: tuple[str, ...]
    categories: tuple[str, ...]
    pictures: int
    pairs: int = 0
    checks: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError(f"name is {self.name!r}; expected a text")
        for name in ("methods", "categories"):
            values = getattr(self, name)
            if (
                not values
                or len(set(values)) < len(values)
                or not all(value.strip() for value in values)
            ):
                raise InputError(f"{name} is {values}; expected one or more texts, no two alike")
        at_least("pictures", self.pictures, 1)
        if not 0 <= self.pairs <= self.pictures:
            raise InputError(
                f"pairs is {self.pairs}; expected 0 to the number of pictures, {self.pictures}"
            )
        if self.pairs and len(self.methods) < 2:
            raise InputError(
                f"pairs is {self.pairs} with 1 method; expected 0, or at least two methods"
            )
        most = len(self.categories) * (
            len(self.methods) * self.pictures
            + len(list(combinations(self.methods, 2))) * self.pairs
        )
        if not 1 <= self.checks <= most:
            raise InputError(
                f"checks is {self.checks}; expected 1 to the number of other trials, {most}"
            )


def rating_questions(category: str) -> tuple[Question, ...]:
    """The scales from 1 to 5 on which each picture is rated."""

    def scale(name: str, text: str, low: str, high: str) -> Question:
        return Question(name, text, (f"1 {low}", *map(str, range(2, SCALE)), f"{SCALE} {high}"))

    return (
        scale("imaginative", "How imaginative is it?", "not at all", "very"),
        scale("plausible", "How plausible is it?", "not at all", "very"),
        scale("category", f"Is it {article(category)}?", "certainly not", "certainly"),
    )


COMPARISON = Question(
    "prefer", "Which is more imaginative?", ("the left one", "about the same", "the right one")
)


@cache
def trials(study: Study) -> Mapping[str, Trial]:
    """All trials that a participant may meet, by identifier. Both arrangements of a pair are here; each participant meets one of them.

    Identifiers are numbers in an order drawn from the study's seed, so that they do not tell what they stand for.
    """
    rng = random.Random(study.seed)
    pages: list[tuple[tuple[Item, ...], tuple[Question, ...], int | None]] = []
    for category in study.categories:
        pages += [
            ((Item(method, category, i),), rating_questions(category), None)
            for method in study.methods
            for i in range(study.pictures)
        ]
        pages += [
            ((Item(left, category, i), Item(right, category, i)), (COMPARISON,), None)
            for left, right in permutations(study.methods, 2)
            for i in range(study.pairs)
        ]
    for _ in range(study.checks):
        known = rng.randint(1, SCALE)
        text = f"No picture here: to show that you read the questions, choose {known}."
        pages.append(((), (Question("check", text, tuple(map(str, range(1, SCALE + 1)))),), known))
    rng.shuffle(pages)
    return MappingProxyType({f"t{n:04}": Trial(f"t{n:04}", *page) for n, page in enumerate(pages)})


def plan(study: Study, participant_seed: int) -> list[Trial]:
    """What one participant is shown, in order: each picture once, each pair once, and each check once.

    The order is random. For each two methods, each is on the left equally often up to one, in random places. The other trials are cut into
    as many equal stretches as there are checks, and each stretch gets one, never after its last trial: no two checks follow each other.
    """
    rng = random.Random(f"{study.seed} {participant_seed}")
    found = {trial.items: trial for trial in trials(study).values()}
    pages = [
        found[(Item(method, category, i),)]
        for method in study.methods
        for category in study.categories
        for i in range(study.pictures)
    ]
    for one, other in combinations(study.methods, 2):
        places = [(category, i) for category in study.categories for i in range(study.pairs)]
        rng.shuffle(places)
        turned = rng.randrange(
            2
        )  # of an odd number of pairs, who is on the left once more is random, too
        for n, (category, i) in enumerate(places):
            sides = (Item(one, category, i), Item(other, category, i))
            pages.append(found[sides[::-1] if (n + turned) % 2 else sides])
    rng.shuffle(pages)
    checks = [trial for trial in trials(study).values() if trial.known is not None]
    rng.shuffle(checks)
    ends = [len(pages) * k // len(checks) for k in range(len(checks) + 1)]
    for k in reversed(
        range(len(checks))
    ):  # from the back, so that the places in front stay where they are
        pages.insert(rng.randrange(ends[k], ends[k + 1]), checks[k])
    return pages


def fingerprint(study: Study) -> str:
    """Tells studies apart: a digest of the name and of every trial with its identifier and texts, so that votes of one study are never read
    as those of another."""
    return hashlib.sha256(repr((study.name, tuple(trials(study).values()))).encode()).hexdigest()[
        :16
    ]

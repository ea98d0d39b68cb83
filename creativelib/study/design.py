"""Design of a user study: what each participant sees, as a pure function of study and seed.

Methods are blinded. What a participant sees, identifiers included, depends on the number of methods
and never on their names.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from types import MappingProxyType

from ..english import article, clean_text, different_texts
from ..errors import InputError, check_fields, whole
from ..seeds import LARGEST

# Number of points of a rating scale.
SCALE = 5
# Most pictures of a method and category. Every participant rates them all.
MOST_PICTURES = 1000


@dataclass(frozen=True)
class Question:
    """A question with fixed answers."""

    # Votes are stored under this name.
    name: str
    # The wording that participants read.
    text: str
    # The possible answers. An answer is stored as the number of an option, counted from 1.
    options: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """One picture that a method made of a category."""

    method: str
    category: str
    # Number of the picture, counted from 0.
    index: int


@dataclass(frozen=True)
class Trial:
    """One page of the study."""

    # Identifier, which does not reveal the method.
    id: str
    # Pictures: one to rate, two to compare (left, right), none in an attention check.
    items: tuple[Item, ...]
    # Questions, which name the category and never a method.
    questions: tuple[Question, ...]
    # Right answer of an attention check; None on other pages.
    known: int | None = None


@dataclass(frozen=True)
class Study:
    """Settings of a study. Every participant rates all pictures and answers all checks.

    Raises InputError for names that are empty or not unique, no pictures or more than 1000, more
    pairs than pictures, pairs of a single method, no checks, more checks than other trials, and a
    bad seed.
    """

    # Name that distinguishes this study from others.
    name: str
    # Names of the methods; participants never see them.
    methods: tuple[str, ...]
    # Categories of the pictures, which the questions name.
    categories: tuple[str, ...]
    # Number of pictures of each method and category.
    pictures: int
    # Number of pictures, the first ones, that are compared between each two methods.
    pairs: int = 0
    # Number of attention checks.
    checks: int = 3
    # Seed of the identifiers and of the checks' answers.
    seed: int = 0

    def __post_init__(self) -> None:
        clean_text("name", self.name)
        check_fields(self, different_texts, {"methods": (), "categories": ()})
        check_fields(
            self,
            whole,
            {"pictures": (1, MOST_PICTURES), "pairs": (0,), "checks": (0,), "seed": (0, LARGEST)},
        )
        if self.pairs > self.pictures:
            raise InputError(
                f"pairs is {self.pairs}; expected 0 to the number of pictures, {self.pictures}"
            )
        if self.pairs and len(self.methods) < 2:
            raise InputError(
                f"pairs is {self.pairs} with 1 method; expected 0, or at least two methods"
            )
        ratings = len(self.methods) * self.pictures
        comparisons = len(list(combinations(self.methods, 2))) * self.pairs
        most = len(self.categories) * (ratings + comparisons)
        if not 1 <= self.checks <= most:
            raise InputError(
                f"checks is {self.checks}; expected 1 to the number of other trials, {most}"
            )


def rating_questions(category: str) -> tuple[Question, ...]:
    """Return the questions about one picture, each on a scale from 1 to 5."""

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
    """Return all trials that a participant may see, by identifier.

    Both arrangements of a pair are included; each participant sees one of them. Identifiers are
    numbers in an order drawn from the study's seed, so that they do not reveal the pictures.
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
        options = tuple(map(str, range(1, SCALE + 1)))
        pages.append(((), (Question("check", text, options),), known))
    rng.shuffle(pages)
    return MappingProxyType({f"t{n:04}": Trial(f"t{n:04}", *page) for n, page in enumerate(pages)})


def plan(study: Study, participant_seed: int) -> list[Trial]:
    """Return one participant's trials in order: each picture, each pair and each check once.

    The order is random. Of two methods, each is on the left equally often, up to one pair, in
    random places. The other trials are cut into as many equal stretches as there are checks. Each
    stretch contains one check, never after its last trial, so that no two checks are adjacent.
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
        # With an odd number of pairs, the method that is on the left once more is random, too.
        offset = rng.randrange(2)
        for n, (category, i) in enumerate(places):
            sides = (Item(one, category, i), Item(other, category, i))
            pages.append(found[sides[::-1] if (n + offset) % 2 else sides])
    rng.shuffle(pages)
    checks = [trial for trial in trials(study).values() if trial.known is not None]
    rng.shuffle(checks)
    ends = [len(pages) * k // len(checks) for k in range(len(checks) + 1)]
    # From the back, so that the places in front stay valid.
    for k in reversed(range(len(checks))):
        pages.insert(rng.randrange(ends[k], ends[k + 1]), checks[k])
    return pages


def fingerprint(study: Study) -> str:
    """Return a digest of the study's name and of every trial with its identifier and texts.

    It distinguishes studies, so that votes of one study are never read as those of another.
    """
    # Stored studies hold this digest: a change in the fields of Trial, Item or Question makes
    # their votes unreadable.
    content = repr((study.name, tuple(trials(study).values())))
    return hashlib.sha256(content.encode()).hexdigest()[:16]

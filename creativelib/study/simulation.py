"""Simulated raters, to try a study and its analysis before people take part. What they answer is no evidence about people.

How imaginative a simulated rater finds a picture follows Berlyne's arousal curve (1971, Aesthetics and Psychobiology), named after Wundt:
what is more novel is liked more up to a peak and less beyond it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError, at_least
from .design import COMPARISON, SCALE, Item, Study, Trial, plan
from .store import SIMULATED, Vote, ballot, seed_of

REWARD = 0.75
AVERSION = 1.75
STEEPNESS = 4.0
PEAK = (REWARD + AVERSION) / 2
SAME = 0.25  # points: a smaller difference is "about the same"
_START = datetime(1970, 1, 1, tzinfo=UTC)  # no real vote is that old
_SECONDS = 10  # a trial


def arousal(rarity: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The arousal curve, from 0 to 1 at its peak: a logistic rise of reward at 0.75 less one of aversion at 1.75, so the peak is at 1.25.

    `rarity` is surprisal as a share of the usual tail: 0 is the median of what is usual, 1 its 99th percentile.
    """

    def curve(x: Tensor) -> Tensor:
        return torch.sigmoid(STEEPNESS * (x - REWARD)) - torch.sigmoid(STEEPNESS * (x - AVERSION))

    return curve(rarity) / curve(torch.tensor(PEAK, dtype=rarity.dtype))


@dataclass(frozen=True)
class Raters:
    """How many simulated raters there are, and how many of them are careless: these answer at random.

    The others answer on the scale's points with a `bias` of their own and a `noise` in each answer, both given as standard deviations.
    Raises InputError for no raters, more careless ones than raters, and negative spreads.
    """

    count: int = 20
    careless: int = 2
    bias: float = 0.4
    noise: float = 0.7

    def __post_init__(self) -> None:
        at_least("count", self.count, 1)
        if not 0 <= self.careless <= self.count:
            raise InputError(
                f"careless is {self.careless}; expected 0 to the number of raters, {self.count}"
            )
        at_least("bias", self.bias, 0)
        at_least("noise", self.noise, 0)


@dataclass(frozen=True)
class Simulated:
    """`votes` of simulated raters, whose codes begin with "simulated-", and the codes of those who were `careless`."""

    votes: list[Vote]
    careless: tuple[str, ...]


def simulate(
    study: Study,
    rarity: Float[Tensor, "m c n"],
    valid: Bool[Tensor, "m c n"],
    raters: Raters,
    *,
    generator: torch.Generator,
) -> Simulated:
    """Simulated raters take a study on n pictures of each of m methods and c categories, in the study's order.

    Imaginative follows `arousal` of the picture's `rarity`; plausible and "is it a" follow whether it is `valid`; the preferred picture of
    two is the more imaginative one, each seen with noise. Times count from the start of 1970, at which nobody votes.
    Raises InputError for tensors of another shape than the study's.
    """
    wanted = (len(study.methods), len(study.categories), study.pictures)
    for name, own in (("rarity", rarity), ("valid", valid)):
        if tuple(own.shape) != wanted:
            raise InputError(
                f"{name} has shape {tuple(own.shape)}; expected the study's (methods, categories, pictures), {wanted}"
            )
    points = {
        "imaginative": 1 + (SCALE - 1) * arousal(rarity.double()),
        "plausible": 1 + (SCALE - 1) * valid.double(),
    }
    points["category"] = points["plausible"]
    codes = [
        f"{SIMULATED}{number:08x}"
        for number in torch.randint(2**32, (raters.count,), generator=generator).tolist()
    ]
    votes = []
    for number, code in enumerate(codes):
        bias = raters.bias * _normal(generator)
        for page, trial in enumerate(plan(study, seed_of(code))):
            if number < raters.careless:
                answers = {
                    question.name: int(
                        torch.randint(len(question.options), (), generator=generator)
                    )
                    + 1
                    for question in trial.questions
                }
            else:
                answers = _careful(trial, study, points, bias, raters.noise, generator)
            votes += ballot(
                code, trial, answers, (_START + timedelta(seconds=_SECONDS * page)).isoformat()
            )
    return Simulated(votes, tuple(codes[: raters.careless]))


def _careful(
    trial: Trial,
    study: Study,
    points: Mapping[str, Float[Tensor, "m c n"]],
    bias: float,
    noise: float,
    generator: torch.Generator,
) -> dict[str, int]:
    """What a simulated rater who reads the questions answers to each, by the question's name. `points` are unbiased and without noise."""
    if trial.known is not None:
        return {question.name: trial.known for question in trial.questions}

    def felt(question: str, item: Item) -> float:
        place = study.methods.index(item.method), study.categories.index(item.category), item.index
        return points[question][place].item() + noise * _normal(generator)

    if len(trial.items) == 2:
        left, right = (felt("imaginative", item) for item in trial.items)
        return {COMPARISON.name: 2 if abs(left - right) < SAME else 1 if left > right else 3}
    return {
        question.name: min(max(round(felt(question.name, trial.items[0]) + bias), 1), SCALE)
        for question in trial.questions
    }


def _normal(generator: torch.Generator) -> float:
    return torch.randn((), generator=generator).item()

"""Simulated raters, to try a study and its analysis before people take part.

Their answers are not evidence about people. How imaginative a simulated rater finds a picture
follows Berlyne's arousal curve (1971, Aesthetics and Psychobiology), named after Wundt: novelty is
liked more up to a peak, and less beyond it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError, at_least, check_fields, whole
from ..fitting.precision import to_float64
from .design import COMPARISON, SCALE, Item, Study, Trial, plan
from .store import SIMULATED, Vote, ballot, seed_of

# Rarities at which reward and aversion reach half of their strength; the peak lies between them.
REWARD = 0.75
AVERSION = 1.75
STEEPNESS = 4.0
PEAK = (REWARD + AVERSION) / 2
# A difference below this number of points is "about the same".
SAME = 0.25
# Time of the first trial: no real vote is that old.
_START = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_TRIAL = 10


def arousal(rarity: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Compute the arousal curve, which rises from 0 to 1 at its peak and falls beyond.

    It is a logistic rise of reward at 0.75 minus one of aversion at 1.75, so the peak is at 1.25.
    `rarity` is surprisal on the scale of typical pictures: 0 is their median, 1 their 99th
    percentile.
    """

    def curve(x: Tensor) -> Tensor:
        return torch.sigmoid(STEEPNESS * (x - REWARD)) - torch.sigmoid(STEEPNESS * (x - AVERSION))

    return curve(rarity) / curve(torch.tensor(PEAK, dtype=rarity.dtype))


@dataclass(frozen=True)
class Raters:
    """Settings of the simulated raters.

    Raises InputError for no raters, more careless ones than raters, and negative spreads.
    """

    # Number of raters.
    count: int = 20
    # Number of raters who answer at random.
    careless: int = 2
    # Standard deviation, in points, of the other raters' general level.
    bias: float = 0.4
    # Standard deviation, in points, of the noise in each of their answers.
    noise: float = 0.7

    def __post_init__(self) -> None:
        check_fields(self, whole, {"count": (1,), "careless": (0,)})
        if self.careless > self.count:
            raise InputError(
                f"careless is {self.careless}; expected 0 to the number of raters, {self.count}"
            )
        check_fields(self, at_least, {"bias": (0,), "noise": (0,)})


@dataclass(frozen=True)
class Simulated:
    """Votes of simulated raters, whose codes begin with "simulated-"."""

    votes: list[Vote]
    # Codes of the raters who answered at random.
    careless: tuple[str, ...]


def simulate(
    study: Study,
    rarity: Float[Tensor, "m c n"],
    valid: Bool[Tensor, "m c n"],
    raters: Raters,
    *,
    generator: torch.Generator,
) -> Simulated:
    """Simulate raters who take a study.

    The study has n pictures of each of m methods and c categories, in the study's order. The answer
    to "imaginative" follows `arousal` of the picture's `rarity`; "plausible" and "category" follow
    whether the picture is `valid`. The preferred picture of two is the more imaginative one, after
    noise. Times count from the start of 1970, before any real vote.

    Raises InputError for tensors of another shape than the study's, and rarities that are not
    finite.
    """
    wanted = (len(study.methods), len(study.categories), study.pictures)
    for name, own in (("rarity", rarity), ("valid", valid)):
        if tuple(own.shape) != wanted:
            raise InputError(
                f"{name} has shape {tuple(own.shape)}; expected the study's (methods, categories, "
                f"pictures), {wanted}"
            )
    if not rarity.isfinite().all():
        raise InputError("rarity holds numbers that are not finite; expected finite ones")
    points = {
        "imaginative": 1 + (SCALE - 1) * arousal(to_float64(rarity)),
        "plausible": 1 + (SCALE - 1) * to_float64(valid),
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
                answers = _random_answers(trial, generator)
            else:
                answers = _careful_answers(
                    trial=trial,
                    study=study,
                    points=points,
                    bias=bias,
                    noise=raters.noise,
                    generator=generator,
                )
            time = _START + timedelta(seconds=_SECONDS_PER_TRIAL * page)
            votes += ballot(participant=code, trial=trial, answers=answers, time=time.isoformat())
    return Simulated(votes, tuple(codes[: raters.careless]))


def _random_answers(trial: Trial, generator: torch.Generator) -> dict[str, int]:
    """Answer each question of a trial at random, by the question's name."""
    return {
        question.name: int(torch.randint(len(question.options), (), generator=generator)) + 1
        for question in trial.questions
    }


def _careful_answers(
    trial: Trial,
    study: Study,
    points: Mapping[str, Float[Tensor, "m c n"]],
    bias: float,
    noise: float,
    generator: torch.Generator,
) -> dict[str, int]:
    """Answer each question of a trial as a rater who reads it, by the question's name.

    `points` are the ratings of each picture by question, without bias and noise.
    """
    if trial.known is not None:
        return {question.name: trial.known for question in trial.questions}

    def noisy_points(question: str, item: Item) -> float:
        method = study.methods.index(item.method)
        category = study.categories.index(item.category)
        rating = points[question][method, category, item.index].item()
        return rating + noise * _normal(generator)

    if len(trial.items) == 2:
        left, right = (noisy_points("imaginative", item) for item in trial.items)
        if abs(left - right) < SAME:
            return {COMPARISON.name: 2}
        return {COMPARISON.name: 1 if left > right else 3}
    return {
        question.name: min(max(round(noisy_points(question.name, trial.items[0]) + bias), 1), SCALE)
        for question in trial.questions
    }


def _normal(generator: torch.Generator) -> float:
    """Draw a standard normal number."""
    return torch.randn((), generator=generator).item()

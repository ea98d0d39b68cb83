"""How methods compare, from one score for each participant and method.

Participants are what is drawn from a population, not votes: one participant's votes are alike, and intervals that treat them as independent
are too narrow. So participants are resampled, and tests see one number for each participant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError, at_least

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Intervals:
    """One number for each method, in the order of the scores, and the ends of its confidence interval."""

    value: Float[Tensor, " m"]
    low: Float[Tensor, " m"]
    high: Float[Tensor, " m"]


def resample(
    participants: int, generator: torch.Generator, draws: int = DRAWS
) -> Int[Tensor, "draws p"]:
    """Bootstrap samples: in each row as many participants as there are, drawn with replacement. Raises InputError for fewer than two."""
    at_least("participants", participants, 2)
    at_least("draws", draws, 1)
    return torch.randint(participants, (draws, participants), generator=generator)


def percentile_ends(
    drawn: Float[Tensor, "draws m"], value: Float[Tensor, " m"], level: float = LEVEL
) -> Intervals:
    """The percentile bootstrap's interval (Efron and Tibshirani 1993, chapter 13). It is a little narrow for few participants: with 10,
    one of 95 % holds the true mean about 9 times in 10. Raises InputError for a level that is not between 0 and 1."""
    if not 0 < level < 1:
        raise InputError(f"level is {level}; expected a number between 0 and 1")
    low, high = drawn.nanquantile(
        torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=drawn.dtype), dim=0
    )
    return Intervals(value, low, high)


def method_means(
    scores: Float[Tensor, "p m"],
    *,
    generator: torch.Generator,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Intervals:
    """Each method's mean over participants, of the scores they gave it, with a bootstrap interval over participants.

    NaN marks a method that a participant did not score. Raises InputError for fewer than two participants and a method that nobody scored.
    """
    if scores.isnan().all(0).any():
        raise InputError(
            f"scores of method number {int(scores.isnan().all(0).nonzero()[0])} are all NaN; expected at least one number"
        )
    return percentile_ends(
        scores[resample(len(scores), generator, draws)].nanmean(1), scores.nanmean(0), level
    )


def holm(p: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """p-values adjusted for k tests (Holm 1979): rejecting those below a level keeps the chance of any false rejection below it.

    Raises InputError for values outside [0, 1].
    """
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"p is {p.tolist()}; expected numbers in [0, 1]")
    values, order = p.sort()
    raised = (
        (values * torch.arange(len(p), 0, -1)).cummax(0).values.clamp(max=1) if len(p) else values
    )
    return torch.empty_like(p).scatter(0, order, raised)


def compare_methods(scores: Float[Tensor, "p m"], methods: Sequence[str]) -> pd.DataFrame:
    """Wilcoxon's signed-rank test between each two methods on the scores of the participants who scored both, two-sided.

    One row for each pair: `first`, `second`, `participants`, the mean `difference` (first less second, in points), scipy's `statistic` and
    `p`, and `p_holm`, which Holm's correction over all rows gives. Participants without a difference are dropped by the test; if none has
    one, p is 1. Raises InputError for other than one name for each of at least two methods, and a pair that nobody scored.
    """
    from scipy.stats import wilcoxon

    if len(methods) != scores.shape[1] or len(methods) < 2:
        raise InputError(
            f"methods is {list(methods)} for {scores.shape[1]} columns of scores; expected at least two, one name each"
        )
    rows = []
    for i, j in combinations(range(len(methods)), 2):
        difference = scores[:, i] - scores[:, j]
        difference = difference[~difference.isnan()]
        if not len(difference):
            raise InputError(
                f"scores hold no participant who scored both {methods[i]!r} and {methods[j]!r}; expected at least one"
            )
        test: Any = wilcoxon(difference.numpy()) if difference.any() else (0.0, 1.0)
        rows.append(
            (methods[i], methods[j], len(difference), difference.mean().item(), *map(float, test))
        )
    table = pd.DataFrame(
        rows, columns=["first", "second", "participants", "difference", "statistic", "p"]
    )
    return table.assign(p_holm=holm(torch.tensor(table["p"].to_numpy())).numpy())

"""Strengths of methods from comparisons of two at a time (Bradley and Terry 1952)."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, at_least, whole
from .statistics import DRAWS, LEVEL, Intervals, percentile_ends, resample

# Most iterations of the MM algorithm, and the relative change at which it stops.
_MAX_STEPS = 100_000
_TOLERANCE = 1e-10


def bradley_terry(wins: Float[Tensor, "m m"], ties: float = 0.0) -> Float[Tensor, " m"]:
    """Compute the most likely strengths w of methods; they sum to 1.

    Method i is preferred to j with probability w_i / (w_i + w_j). Element (i, j) of `wins` counts
    how often i was preferred to j; a tie counts half for both. The iteration is Hunter's MM
    algorithm (2004, Annals of Statistics 32).

    The most likely strengths exist only if, for every split of the methods in two, each side has
    won against the other (Ford 1957). `ties` adds this number of tied comparisons to each two
    methods, which makes the strengths exist and draws them together.

    Raises InputError where the strengths do not exist, for fewer than two methods, and for negative
    numbers.
    """
    from scipy.sparse.csgraph import connected_components

    _check_wins(wins, ties)
    if not ties:
        groups, label = connected_components(wins.numpy() > 0, connection="strong")
        if groups > 1:
            split = [[i for i, own in enumerate(label) if own == group] for group in range(groups)]
            raise InputError(
                f"wins split the methods into groups {split} that do not win against each other "
                f"both ways; expected wins both ways between any two groups of methods, or ties "
                f"above 0"
            )
    return _most_likely(wins, ties)


def bradley_terry_intervals(
    wins: Float[Tensor, "p m m"],
    *,
    generator: torch.Generator,
    ties: float = 1.0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Intervals:
    """Compute the strengths of `bradley_terry` with a bootstrap interval over participants.

    `ties` tied comparisons are added to each two methods, in every bootstrap draw as in the value,
    because by chance a draw can contain a method that never lost.

    Raises InputError for ties of 0 and less, negative wins, and fewer than two participants.
    """
    if not at_least("ties", ties, 0) > 0:
        raise InputError(
            f"ties is {ties}; expected a number above 0, because a draw of participants may "
            f"contain a method that never lost"
        )
    _check_wins(wins, ties)
    resampled = wins[resample(len(wins), generator, draws)].sum(1)
    return percentile_ends(
        drawn=_most_likely(resampled, ties),
        value=_most_likely(wins.sum(0), ties),
        level=level,
    )


def _check_wins(wins: Float[Tensor, "*p m m"], ties: float) -> None:
    at_least("ties", ties, 0)
    whole("the number of methods in wins", wins.shape[-1], 2)
    wrong = wins[~(wins >= 0) | wins.isinf()]  # negated, so that NaN is wrong, too
    if len(wrong):
        raise InputError(f"wins holds {wrong[0].item()}; expected numbers of 0 and more")


def _most_likely(wins: Float[Tensor, "*b m m"], ties: float) -> Float[Tensor, "*b m"]:
    m = wins.shape[-1]
    off_diagonal = 1 - torch.eye(m, dtype=torch.float64)
    wins = (wins.double() + ties / 2) * off_diagonal
    won = wins.sum(-1)
    comparisons = wins + wins.mT
    strength = torch.full_like(won, 1 / m)
    for _ in range(_MAX_STEPS):
        # Update all strengths at once: comparisons won, divided by the wins that the present
        # strengths predict for each unit of strength.
        pair_strength = strength[..., :, None] + strength[..., None, :]
        new = won / (comparisons / pair_strength).sum(-1)
        new = new / new.sum(-1, keepdim=True)
        if ((new - strength).abs() <= _TOLERANCE * new).all():
            break
        strength = new
    return new

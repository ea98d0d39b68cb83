"""Strengths of methods from comparisons of two at a time (Bradley and Terry 1952)."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, at_least
from .statistics import DRAWS, LEVEL, Intervals, percentile_ends, resample

_STEPS = 100_000
_CLOSE = 1e-10


def bradley_terry(wins: Float[Tensor, "m m"], ties: float = 0.0) -> Float[Tensor, " m"]:
    """Strengths w that sum to 1, under which method i is preferred to j with a chance of w_i / (w_i + w_j): the most likely ones.

    Element (i, j) of `wins` says how often i was preferred to j; a tie counts half for both. Iterated by Hunter's MM algorithm (2004,
    Annals of Statistics 32). The most likely strengths exist only if, however the methods are split in two, each side has won against the
    other (Ford 1957). `ties` adds so many tied comparisons to each two methods, which makes them exist and draws strengths together.
    Raises InputError where they do not exist, for fewer than two methods, and for negative numbers.
    """
    from scipy.sparse.csgraph import connected_components

    _check_wins(wins, ties)
    if not ties:
        groups, label = connected_components(wins.numpy() > 0, connection="strong")
        if groups > 1:
            split = [[i for i, own in enumerate(label) if own == group] for group in range(groups)]
            raise InputError(
                f"wins split the methods into groups {split} that do not win against each other both ways; expected wins "
                f"both ways between any two groups of methods, or ties above 0"
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
    """Strengths as `bradley_terry` gives, from all participants' wins, with a bootstrap interval over participants.

    One tied comparison is added to each two methods unless `ties` says otherwise, in every draw as in the value: by chance a draw can hold
    a method that never lost. Raises InputError for ties of 0 and less, negative wins, and fewer than two participants.
    """
    if not ties > 0:
        raise InputError(
            f"ties is {ties}; expected a number above 0, because a draw of participants may hold a method that never lost"
        )
    _check_wins(wins, ties)
    return percentile_ends(
        _most_likely(wins[resample(len(wins), generator, draws)].sum(1), ties),
        _most_likely(wins.sum(0), ties),
        level,
    )


def _check_wins(wins: Float[Tensor, "*p m m"], ties: float) -> None:
    at_least("ties", ties, 0)
    at_least("the number of methods in wins", wins.shape[-1], 2)
    if not (wins >= 0).all():
        raise InputError(
            f"wins holds {wins[~(wins >= 0)][0].item()}; expected numbers of 0 and more"
        )


def _most_likely(wins: Float[Tensor, "*b m m"], ties: float) -> Float[Tensor, "*b m"]:
    m = wins.shape[-1]
    apart = 1 - torch.eye(m, dtype=torch.float64)
    wins = (wins.double() + ties / 2) * apart
    won = wins.sum(-1)
    met = wins + wins.mT
    strength = torch.full_like(won, 1 / m)
    for _ in range(_STEPS):
        # Every strength at once: the comparisons won, over those expected at the present strengths for each unit of strength.
        new = won / (met / (strength[..., :, None] + strength[..., None, :])).sum(-1)
        new = new / new.sum(-1, keepdim=True)
        if ((new - strength).abs() <= _CLOSE * new).all():
            break
        strength = new
    return new

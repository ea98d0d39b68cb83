"""Find how far to go along a straight path, for a whole batch of paths at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

# Multiples of the first guess that are tried in turn until the goal is passed.
SCALES = tuple(2.0**i for i in range(-6, 12))
# Most parts that an interval is cut into, one after the other.
CUTS = 20


def reach(
    excess: Callable[[Tensor], Tensor], start: Float[Tensor, "*b"], close: Float[Tensor, "*b"]
) -> Float[Tensor, "*b"]:
    """Return, for each path, how far to go until a value is reached: multiples of a first guess.

    excess: for a multiple of each path's guess, how far the value is past its goal there; below 0
        it falls short. It should be continuous.
    start: the same at the path's beginning, below 0.
    close: how near the goal is near enough. A guess that is near enough is kept: 1.

    The goal is bracketed by ever longer steps, and the bracket is halved. Where no step passes it,
    the path ends where the value comes nearest.
    """
    guess = torch.ones_like(start)
    kept = excess(guess).abs() <= close
    if kept.all():
        return guess
    low, high, passed = _bracket(excess, start)
    middle = high
    for _ in range(CUTS):
        middle = (low + high) / 2
        value = excess(middle)
        low = torch.where(value < 0, middle, low)
        high = torch.where(value < 0, high, middle)
        if (kept | ~passed | (value.abs() <= close)).all():
            break
    return torch.where(kept, guess, torch.where(passed, middle, high))


def _bracket(
    excess: Callable[[Tensor], Tensor], start: Float[Tensor, "*b"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ends of each path's first interval with the goal, and whether it has one.

    Without one, the second end is where the value comes nearest.
    """
    low = torch.zeros_like(start)
    high = torch.zeros_like(start)
    passed = torch.zeros_like(start, dtype=torch.bool)
    most = start
    for scale in SCALES:
        here = torch.full_like(start, scale)
        value = excess(here)
        high = torch.where(~passed & (value > most), here, high)
        most = torch.where(passed, most, torch.maximum(value, most))
        passed = passed | (value >= 0)
        if passed.all():
            break
    # The tried multiples beside the nearest one; behind it lies the goal, or the turning point.
    low = torch.where(high > SCALES[0], high / 2, low)
    if passed.all():
        return low, high, passed
    first = low
    last = torch.where(high > 0, 2 * high, SCALES[0])
    for _ in range(CUTS):
        third = (last - first) / 3
        nearer = excess(first + third) > excess(last - third)
        first = torch.where(nearer, first, first + third)
        last = torch.where(nearer, last - third, last)
    turn = (first + last) / 2
    value = excess(turn)
    high = torch.where(passed | (value <= most), high, turn)
    return low, high, passed | (value >= 0)

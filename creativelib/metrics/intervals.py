"""How sure a figure is: bootstrap intervals, and a warning where too few pictures make a metric mislead."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Interval:
    """A statistic of n values with its percentile interval."""

    value: float
    low: float
    high: float
    n: int


class FewPicturesWarning(UserWarning):
    """A metric of too few pictures, that says more about their number than about them."""


def bootstrap(
    values: Float[Tensor, "n *s"],
    statistic: Callable[[Tensor], Tensor] | None = None,
    level: float = 0.95,
    draws: int = 1000,
) -> Interval:
    """A statistic over the first axis, by default the mean of it all, and its percentile bootstrap interval (Efron 1979).

    What is drawn anew has to be independent: runs, categories, participants, not the pictures of one run. Metrics of neighbours must not
    be bootstrapped over pictures at all, since a picture drawn twice is its own neighbour. Always drawn with the same seed. Raises
    InputError for no values and a level out of (0, 1).
    """
    if not len(values):
        raise InputError("values is empty; expected at least one")
    if not 0 < level < 1:
        raise InputError(f"level is {level}; expected a number in (0, 1)")
    statistic = statistic or torch.mean
    values = values.double()
    rows = torch.randint(
        len(values), (draws, len(values)), generator=torch.Generator().manual_seed(0)
    )
    spread = torch.stack([statistic(values[chosen]) for chosen in rows]).double()
    low = spread.quantile((1 - level) / 2).item()
    high = spread.quantile((1 + level) / 2).item()
    return Interval(statistic(values).item(), low, high, len(values))


def warn_if_few(metric: str, pictures: int, least: int) -> None:
    """Warn that a metric of so few pictures is not to be compared with the same of more. Once for each metric and number."""
    if pictures < least:
        warnings.warn(
            f"{metric} of {pictures} pictures: below {least} it depends on their number; compare with the same number only",
            FewPicturesWarning,
            stacklevel=3,
        )

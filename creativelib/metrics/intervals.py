"""Bootstrap intervals of a figure, and a warning where too few pictures make a metric mislead."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, inside, whole
from ..fitting.precision import to_float64
from ..seeds import seeded


@dataclass(frozen=True)
class Interval:
    """A statistic of values with its percentile interval."""

    # The statistic of all values.
    value: float
    # Lower end of the interval.
    low: float
    # Upper end of the interval.
    high: float
    # Number of values.
    n: int


class FewPicturesWarning(UserWarning):
    """A metric was computed from so few pictures that it depends on their number."""


def bootstrap(
    values: Float[Tensor, "n *s"],
    statistic: Callable[[Tensor], Tensor] | None = None,
    level: float = 0.95,
    draws: int = 1000,
) -> Interval:
    """Compute a statistic over the first axis and its percentile bootstrap interval (Efron 1979).

    The default statistic is the mean of all values. The resampled units must be independent: runs,
    categories or participants, not the pictures of one run. Metrics of neighbors must not be
    bootstrapped over pictures at all, because a picture drawn twice is its own neighbor. The seed
    is always the same.

    Raises InputError for no values, no draws, and a level outside (0, 1).
    """
    if not len(values):
        raise InputError("values is empty; expected at least one")
    inside("level", level, 0, 1)
    whole("draws", draws, 1)
    statistic = statistic or torch.mean
    values = to_float64(values)
    rows = torch.randint(len(values), (draws, len(values)), generator=seeded(0))
    replicates = torch.stack([statistic(values[chosen]) for chosen in rows]).double()
    low = replicates.quantile((1 - level) / 2).item()
    high = replicates.quantile((1 + level) / 2).item()
    return Interval(value=statistic(values).item(), low=low, high=high, n=len(values))


def warn_if_few(metric: str, pictures: int, least: int) -> None:
    """Warn that a metric of few pictures must not be compared with that of more pictures.

    Python shows the warning once for each metric and number.
    """
    if pictures < least:
        warnings.warn(
            f"{metric} of {pictures} pictures: below {least} it depends on their number; "
            f"compare with the same number only",
            FewPicturesWarning,
            stacklevel=3,
        )

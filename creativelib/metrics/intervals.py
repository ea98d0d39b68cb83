"""How sure a figure is: intervals, runs that resemble each other, and too few pictures."""

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import nan

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import InputError, inside, whole
from ..fitting.precision import to_float64
from ..seeds import seeded


@dataclass(frozen=True)
class Interval:
    """A statistic of values with its percentile interval."""

    # The statistic of all values.
    value: float
    # Lower end of the interval; NaN if a single unit gives none.
    low: float
    # Upper end of the interval; NaN if a single unit gives none.
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
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Compute a statistic over the first axis and its percentile bootstrap interval (Efron 1979).

    The default statistic is the mean of all values. The resampled units must be independent: runs
    of one category, or participants, not the pictures of one run. Metrics of neighbors must not be
    bootstrapped over pictures at all, because a picture drawn twice is its own neighbor. The seed
    is always the same.

    `groups` names the group of each value, such as a run's category: values of a group are alike.
    The bootstrap then has two stages. It draws groups with replacement, and values with replacement
    within each drawn group (Davison and Hinkley 1997, section 3.8, the second of two strategies).
    A difference of two methods is bootstrapped as one value for each run.

    A single unit, which is a value or with `groups` a group, says nothing of others: the ends of
    its interval are NaN. Of few units the interval is too narrow: of five normal values, one of
    95 % holds the mean 86 times in 100; of five values in each of eight groups, with half of the
    variance between groups, 90 times, where without `groups` it would be 70.

    Raises InputError for no values, no draws, a level outside (0, 1), and another number of groups
    than of values.
    """
    if not len(values):
        raise InputError("values is empty; expected at least one")
    inside("level", level, 0, 1)
    whole("draws", draws, 1)
    values = to_float64(values)
    value = (statistic or torch.mean)(values).item()
    number = None if groups is None else _numbered(groups, len(values))
    units = len(values) if number is None else int(number.max()) + 1
    if units == 1:
        return Interval(value=value, low=nan, high=nan, n=len(values))
    if number is None:
        rows = torch.randint(units, (draws, units), generator=seeded(0))
        drawn = torch.ones_like(rows, dtype=torch.bool)
    else:
        rows, drawn = draw_nested(number, draws)
    if statistic is None:
        own = values.flatten(1).mean(1) if values.ndim > 1 else values
        replicates = (own[rows] * drawn).sum(1) / drawn.sum(1)
    else:
        chosen = (row[kept] for row, kept in zip(rows, drawn, strict=True))
        replicates = torch.stack([statistic(values[row]) for row in chosen]).double()
    low = replicates.quantile((1 - level) / 2).item()
    high = replicates.quantile((1 + level) / 2).item()
    return Interval(value=value, low=low, high=high, n=len(values))


def draw_nested(
    number: Int[Tensor, " n"], draws: int
) -> tuple[Int[Tensor, "draws k"], Bool[Tensor, "draws k"]]:
    """Draw as many groups as there are, and from each drawn group as many values as it has.

    Both are drawn with replacement. Return for each draw the indices of values, and which of them
    count: where groups differ in size, rows are filled up with others.
    """
    generator = seeded(0)
    order = number.argsort(stable=True)
    sizes = number.bincount()
    starts = sizes.cumsum(0) - sizes
    chosen = torch.randint(len(sizes), (draws, len(sizes)), generator=generator)
    most = int(sizes.max())
    shares = torch.rand((draws, len(sizes), most), generator=generator, dtype=torch.float64)
    size = sizes[chosen][..., None]
    places = starts[chosen][..., None] + (shares * size).long()
    counted = (torch.arange(most) < size).expand_as(places)
    return order[places].flatten(1), counted.flatten(1)


def intraclass_correlation(values: Float[Tensor, " n"], groups: Sequence[Hashable]) -> float:
    """Estimate how alike values of one group are: ICC(1) of a one-way analysis of variance.

    It is (B - W) / (B + (k - 1) W) with the mean squares B between groups and W within them, and k
    values a group (Shrout and Fleiss 1979, ICC(1, 1)). Where groups differ in size, k is
    (n - sum of squared sizes / n) / (a - 1) (Donner 1986). 0 says that a group means nothing, 1
    that its values are equal; it is negative where groups differ less than by chance. The mean of n
    values varies like that of n / (1 + (k - 1) ICC) independent ones (Kish 1965).

    Raises InputError for fewer than two groups, and for groups of one value each. Where all values
    are equal, it is NaN.
    """
    number = _numbered(groups, len(values))
    sizes = number.bincount().double()
    count = len(sizes)
    if count < 2 or count == len(values):
        raise InputError(
            f"groups has {len(values)} values in {count} groups; expected at least two groups, and "
            f"more than one value in some of them"
        )
    values = to_float64(values)
    means = torch.zeros_like(sizes).index_add_(0, number, values) / sizes
    between = (sizes * (means - values.mean()) ** 2).sum() / (count - 1)
    within = ((values - means[number]) ** 2).sum() / (len(values) - count)
    size = (len(values) - (sizes**2).sum() / len(values)) / (count - 1)
    return ((between - within) / (between + (size - 1) * within)).item()


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


def _numbered(groups: Sequence[Hashable], n: int) -> Int[Tensor, " n"]:
    """Give the groups of n values numbers from 0, in the order in which they first come.

    Raises InputError for another number of groups than n.
    """
    if len(groups) != n:
        raise InputError(f"groups has {len(groups)} entries for {n} values; expected one each")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return torch.tensor([numbers[group] for group in groups])

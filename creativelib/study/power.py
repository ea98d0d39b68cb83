"""Number of participants that a study needs."""

from dataclasses import dataclass
from typing import Any

import torch

from ..errors import InputError, at_least, finite, inside, whole

# With fewer participants, no outcome of a two-sided signed-rank test is below 0.05.
LEAST = 6
# Simulated numbers at once, so that memory holds them.
MOST_NUMBERS = 10**8


@dataclass(frozen=True)
class SampleSize:
    """A number of participants, and the power that it gives."""

    participants: int
    # Share of simulated studies that find the difference.
    power: float
    # Standard error of that share.
    error: float


def sample_size(
    difference: float,
    *,
    between: float,
    within: float,
    pictures: int,
    generator: torch.Generator,
    power: float = 0.8,
    level: float = 0.05,
    most: int = 400,
    draws: int = 2000,
) -> SampleSize:
    """Simulate studies to find the least number of participants with the wanted power.

    The model, in points of the scale: a participant's preference for one of two methods is normal,
    with mean `difference` and standard deviation `between`. Each answer adds noise of standard
    deviation `within`, and each participant rates `pictures` of each method. A participant's
    general level cancels. The test is that of `compare_methods`, two-sided at `level`; for m
    methods give the strictest level that Holm's correction may need, 0.05 divided by m (m - 1) / 2.

    Raises InputError for a difference of 0, negative spreads or both of 0, fewer than one picture,
    a power or level outside (0, 1), and a difference that `most` participants do not find.
    """
    from scipy.stats import wilcoxon

    for name, value in (("between", between), ("within", within)):
        at_least(name, value, 0)
    whole("pictures", pictures, 1)
    whole("most", most, LEAST)
    whole("draws", draws, 1, MOST_NUMBERS // most)
    inside("power", power, 0, 1)
    inside("level", level, 0, 1)
    finite("difference", difference)
    if difference == 0 or between == within == 0:
        raise InputError(
            f"difference is {difference}, between {between} and within {within}; "
            f"expected a difference and a spread that are not 0"
        )
    spread = (between**2 + 2 * within**2 / pictures) ** 0.5
    # Every number of participants takes the first of the same simulated ones, so that power
    # changes smoothly with the number.
    studies = difference + spread * torch.randn(
        draws, most, generator=generator, dtype=torch.float64
    )

    def power_of(participants: int) -> float:
        tests: Any = wilcoxon(studies[:, :participants].numpy(), axis=1)
        return float((tests.pvalue < level).mean())

    low = LEAST
    high = most
    if (reached := power_of(high)) < power:
        raise InputError(
            f"difference is {difference}; expected one that {most} participants find with "
            f"power {power}; they find this one with {reached:.2f}"
        )
    while low < high:
        middle = (low + high) // 2
        if power_of(middle) >= power:
            high = middle
        else:
            low = middle + 1
    reached = power_of(high)
    return SampleSize(high, reached, error=(reached * (1 - reached) / draws) ** 0.5)

"""How many participants a study needs."""

from dataclasses import dataclass
from typing import Any

import torch

from ..errors import InputError, at_least

LEAST = 6  # with fewer, no outcome of a two-sided signed-rank test is below 0.05


@dataclass(frozen=True)
class SampleSize:
    """`participants` find the difference in a share `power` of simulated studies, which is exact to about twice its standard `error`."""

    participants: int
    power: float
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
    """How many participants find a difference of so many points between two methods with the wanted power, by simulated studies.

    The model, in points of the scale: how much better a participant finds one method is normal, with mean `difference` and standard
    deviation `between`; each answer adds noise of standard deviation `within`; each participant rates `pictures` of each method. How high
    a participant rates everything cancels. The test is that of `compare_methods`, two-sided at `level`; for m methods give the strictest
    that Holm's correction may ask for, 0.05 divided by m (m - 1) / 2.

    Raises InputError for a difference of 0, negative spreads or both of 0, fewer than one picture, a power or level outside (0, 1), and a
    difference that `most` participants do not find.
    """
    from scipy.stats import wilcoxon

    for name, value in (("between", between), ("within", within)):
        at_least(name, value, 0)
    at_least("pictures", pictures, 1)
    at_least("draws", draws, 1)
    at_least("most", most, LEAST)
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}; expected a number between 0 and 1")
    if difference == 0 or between == within == 0:
        raise InputError(
            f"difference is {difference}, between {between} and within {within}; expected a difference and a spread that "
            f"are not 0"
        )
    spread = (between**2 + 2 * within**2 / pictures) ** 0.5
    # Every number of participants sees the first of the same simulated ones, so that power hardly jumps from one number to the next.
    studies = difference + spread * torch.randn(
        draws, most, generator=generator, dtype=torch.float64
    )

    def found(participants: int) -> float:
        tests: Any = wilcoxon(studies[:, :participants].numpy(), axis=1)
        return float((tests.pvalue < level).mean())

    low = LEAST
    high = most
    if (reached := found(high)) < power:
        raise InputError(
            f"difference is {difference}; expected one that {most} participants find with power {power}; they find this one "
            f"with {reached:.2f}"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) >= power else (middle + 1, high)
    reached = found(high)
    return SampleSize(high, reached, (reached * (1 - reached) / draws) ** 0.5)

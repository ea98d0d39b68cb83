"""Agreement of raters."""

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, one_of

LEVELS = ("nominal", "ordinal", "interval")


def krippendorff_alpha(answers: Float[Tensor, "raters units"], level: str) -> float:
    """Compute Krippendorff's alpha (2011, Computing Krippendorff's Alpha-Reliability).

    It is 1 if raters agree on every unit, 0 if they agree as often as by chance, and below 0 if
    they disagree more than that. NaN marks a missing answer; units with a single answer do not
    count. `level` says which property of a difference counts: "nominal", only whether there is
    one; "ordinal", the number of answers that lie between; "interval", its size.

    Raises InputError for another level, no unit with two answers, and answers that are all alike,
    for which alpha is not defined.
    """
    one_of("level", level, LEVELS)
    values = answers[~answers.isnan()].unique().double()
    # Element (value, unit) is the number of raters who gave the value to the unit.
    counts = (answers == values[:, None, None]).sum(1).double()
    counts = counts[:, counts.sum(0) >= 2]
    if not counts.numel():
        raise InputError("answers hold no unit with answers of two raters; expected at least one")
    share = counts / (counts.sum(0) - 1)
    # Ordered pairs of two answers to the same unit; no answer is paired with itself.
    coincidences = share @ counts.T - share.sum(1).diag()
    margin = coincidences.sum(1)
    if (margin > 0).sum() < 2:
        raise InputError(
            "answers are all alike where two raters gave one; expected answers that vary"
        )
    # Ordinal values are as far apart as the middles of their ranks, so that a value between them
    # counts by how often it was given.
    place = margin.cumsum(0) - margin / 2 if level == "ordinal" else values
    distance = (
        (place[:, None] != place).double() if level == "nominal" else (place[:, None] - place) ** 2
    )
    observed = (coincidences * distance).sum()
    expected = (margin[:, None] * margin * distance).sum()
    return (1 - (margin.sum() - 1) * observed / expected).item()

"""How far raters agree."""

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError

LEVELS = ("nominal", "ordinal", "interval")


def krippendorff_alpha(answers: Float[Tensor, "raters units"], level: str) -> float:
    """Krippendorff's alpha (2011, Computing Krippendorff's Alpha-Reliability): 1 if raters agree on every unit, 0 if they agree as often as
    by chance, below 0 if they disagree more than that.

    NaN marks an answer that is missing; units with a single answer count for nothing. `level` is what of a difference counts: "nominal",
    only whether there is one; "ordinal", how many answers lie between; "interval", its size. Raises InputError for another level, no unit
    with two answers, and answers that are all alike, for which it is not defined.
    """
    if level not in LEVELS:
        raise InputError(f"level is {level!r}; expected {', '.join(LEVELS)}")
    values = answers[~answers.isnan()].unique().double()
    given = (
        (answers == values[:, None, None]).sum(1).double()
    )  # (value, unit): how many raters gave it
    given = given[:, given.sum(0) >= 2]
    if not given.numel():
        raise InputError("answers hold no unit with answers of two raters; expected at least one")
    share = given / (given.sum(0) - 1)
    coincidences = (
        share @ given.T - share.sum(1).diag()
    )  # of a unit's answers in ordered pairs, none with itself
    margin = coincidences.sum(1)
    if (margin > 0).sum() < 2:
        raise InputError(
            "answers are all alike where two raters gave one; expected answers that vary"
        )
    # Ordinal: as far apart as the middles of the two values' ranks, so that what lies between counts by how often it was given.
    place = margin.cumsum(0) - margin / 2 if level == "ordinal" else values
    distance = (
        (place[:, None] != place).double() if level == "nominal" else (place[:, None] - place) ** 2
    )
    observed = (coincidences * distance).sum()
    expected = (margin[:, None] * margin * distance).sum()
    return (1 - (margin.sum() - 1) * observed / expected).item()

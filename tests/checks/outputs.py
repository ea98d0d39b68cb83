"""Comparison of two outputs of a notebook's cell."""

import math
import re

RELATIVE = 1e-3
ABSOLUTE = 1e-6
DECIMAL = re.compile(r"(?<![\w.])[-+]?\d+\.\d*(?:[eE][-+]?\d+)?(?![\w.])")


def forgive(new: str, stored: str) -> str:
    """Return the stored text if the new one differs from it in close decimals only.

    Otherwise return the new one. Whole numbers and words have to be equal.
    """
    if DECIMAL.sub("#", new) != DECIMAL.sub("#", stored):
        return new
    pairs = zip(DECIMAL.findall(new), DECIMAL.findall(stored), strict=True)
    close = all(
        math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs
    )
    return stored if close else new

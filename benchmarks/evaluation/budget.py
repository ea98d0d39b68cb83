"""What budgets buy: a method's share for its seconds and evaluations, and what selection adds."""

from collections.abc import Sequence

import pandas as pd

from benchmarks.evaluation.categories import TRUTH, Row
from benchmarks.figures import Figure
from creativelib.evaluation.methods import BASES, SELECTED, variant
from creativelib.metrics.table import compare
from creativelib.notebook.plots import frontier

SECONDS = "seconds a picture"
# Rows that were measured before evaluations were counted have the first alone.
COSTS = (SECONDS, "prior evaluations a picture", "decoder evaluations a picture")


def budget_points(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """List each method's seconds and share of valid and novel pictures, the most novel first.

    `creativelib.notebook.plots.budget_plot` shows them.
    """
    frame = compare(rows, metrics=[SECONDS, TRUTH]).xs("value", axis=1, level=1)
    frame = frame.sort_values(TRUTH, ascending=False, kind="stable")
    columns = (frame[name].tolist() for name in (SECONDS, TRUTH))
    return dict(zip(map(str, frame.index), zip(*columns, strict=True), strict=True))


def budget_figures(rows: Sequence[Row]) -> list[Figure]:
    """Make figures of each method's share and costs, and of what selection adds, paired by run."""
    points = budget_points(rows)
    best = frontier(points)
    names = [TRUTH, *(name for name in COSTS if name in rows[0])]
    frame = compare(rows, metrics=names)
    figures = []
    for method in points:
        for name in names:
            unit = "%" if name == TRUTH else ""
            interval = frame.loc[method, name] * (100 if unit else 1)
            title = f"{method}: {name.removeprefix('true: ')}"
            figures.append(_figure(title, interval, unit))
        figures.append(Figure(f"{method}: on the frontier", float(method in best), ""))
    for name, method in BASES.items():
        without, selected = (variant(name, c, method.candidates) for c in (1, SELECTED))
        if without in points and selected in points:
            pair = [row for row in rows if row["method"] in (without, selected)]
            gain = compare(pair, metrics=[TRUTH], than=without).loc[selected, TRUTH]
            figures.append(_figure(f"{name}: more with selection", 100 * gain, "points"))
    return figures


def _figure(title: str, interval: pd.Series, unit: str) -> Figure:
    value, low, high = interval[["value", "low", "high"]].tolist()
    return Figure(title, value, unit, low=low, high=high)

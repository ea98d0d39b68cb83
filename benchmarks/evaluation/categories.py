"""Shares of valid and new pictures by category, and how alike the runs of a category are."""

from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Figure
from creativelib.metrics.table import compare, compare_by_category, intraclass_correlations

Row = dict[str, Any]
TRUTH = "true: valid and novel"
# The method that differences are taken from.
RIVAL = "random parts"


def category_figures(rows: Sequence[Row]) -> list[Figure]:
    """Make a figure of each method and category, and of each method's intraclass correlation."""
    frame = compare_by_category(rows, metric=TRUTH)
    alike = intraclass_correlations(rows, metric=TRUTH)
    figures = []
    for method in frame.index:
        for category in frame.columns.unique(0):
            value, low, high = 100 * frame.loc[method, category]
            figures.append(Figure(f"{method}: {category}", value, "%", low=low, high=high))
        figures.append(Figure(f"{method}: intraclass correlation", float(alike.loc[method]), ""))
    return figures


def difference_figures(rows: Sequence[Row]) -> list[Figure]:
    """Make a figure of each method's lead over random parts, overall and in each category."""
    everywhere = compare(rows, metrics=[TRUTH], than=RIVAL)[TRUTH]
    frame = compare_by_category(rows, metric=TRUTH, than=RIVAL)
    figures = []
    for method in frame.index.drop(RIVAL):
        parts = {"all categories": everywhere.loc[method]}
        parts |= {category: frame.loc[method, category] for category in frame.columns.unique(0)}
        for title, part in parts.items():
            value, low, high = 100 * part
            figures.append(Figure(f"{method}: {title}", value, "points", low=low, high=high))
    return figures

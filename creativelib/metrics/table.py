"""Tables that compare methods: means over matched runs with intervals, as numbers and as text.

frame = compare(rows, metrics=["valid", "novel"])
print(shown(frame).to_markdown())  # or .to_latex()
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, listed, one_of, whole
from .intervals import Interval, bootstrap, intraclass_correlation

# Keys of a row that identify its run.
RUN = ("category", "seed", "pictures")
# Columns of a value.
PARTS = ("value", "low", "high")
# What a table shows by default.
METRICS = ("true: valid", "true: novel in form", "true: valid and novel", "true: surprisal")


def compare(
    rows: Sequence[Mapping[str, Any]],
    *more: Sequence[Mapping[str, Any]],
    metrics: Sequence[str] = METRICS,
    than: str | None = None,
) -> pd.DataFrame:
    """Average each metric over the runs of each method.

    Rows are as `run_protocol` yields them, with a number for each metric. The table has one line
    for each method, in the order of the rows, and columns (metric, value | low | high): the mean
    and its 95 % interval, from a bootstrap that draws categories and then runs within each. Runs
    of one category give no interval, and its ends are NaN; `compare_by_category` has those. If
    `than` names a method, all values are differences from that method on the same runs; pairing
    separates small differences from the variation between runs.

    Further rows, such as those of one's own method, may cover fewer runs: the table then is of the
    runs that all methods share.

    Raises InputError for methods that did not make the same runs, for further rows without a
    common run, a metric that a row lacks, an unknown `than`, and a plain text in place of a list.
    """
    metrics = listed("metrics", metrics)
    found = _matched(rows, *more, metrics=metrics, than=than)
    groups = found.categories
    table = {}
    for name in metrics:
        for method, values in found.values[name].items():
            _add_cell(table, name, method, bootstrap(values, groups=groups))
    return _framed(table, "metric")


def compare_by_category(
    rows: Sequence[Mapping[str, Any]],
    *more: Sequence[Mapping[str, Any]],
    metric: str = METRICS[2],
    than: str | None = None,
) -> pd.DataFrame:
    """Average a metric over the runs of each method in each category.

    The table has one line for each method and columns (category, value | low | high): the mean and
    its 95 % interval, bootstrapped over the category's runs. They are few, as a rule, and these
    intervals too narrow (see `intervals.bootstrap`). Arguments and errors are those of `compare`.
    """
    found = _matched(rows, *more, metrics=[metric], than=than)
    table = {}
    for category in dict.fromkeys(found.categories):
        own = torch.tensor([each == category for each in found.categories])
        for method, values in found.values[metric].items():
            _add_cell(table, category, method, bootstrap(values[own]))
    return _framed(table, "category")


def intraclass_correlations(
    rows: Sequence[Mapping[str, Any]],
    *more: Sequence[Mapping[str, Any]],
    metric: str = METRICS[2],
    than: str | None = None,
) -> pd.Series:
    """Estimate the intraclass correlation of each method's runs in categories.

    Arguments and errors are those of `compare`; `intraclass_correlation` has the formula.
    """
    found = _matched(rows, *more, metrics=[metric], than=than)
    by_method = found.values[metric]
    return pd.Series(
        {name: intraclass_correlation(x, found.categories) for name, x in by_method.items()}
    )


def shown(frame: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Format the cells as text, such as "0.52 (0.49–0.55)", with `digits` significant digits.

    A value without an interval stands alone. Raises InputError for no digits.
    """
    whole("digits", digits, 1, 17)

    def cell(method: str, name: str) -> str:
        ends = [frame.loc[method, (name, part)] for part in PARTS]
        value, low, high = (f"{end:.{digits}g}" for end in ends)
        return value if isnan(ends[1]) else f"{value} ({low}–{high})"

    names = frame.columns.get_level_values(0).unique()
    return pd.DataFrame(
        {name: [cell(method, name) for method in frame.index] for name in names}, index=frame.index
    )


@dataclass(frozen=True)
class _Matched:
    """The values of all methods on the same runs."""

    # The category of each run.
    categories: Sequence[str]
    # One value a run, by metric and method.
    values: dict[str, dict[str, Float[Tensor, " runs"]]]


def _matched(
    rows: Sequence[Mapping[str, Any]],
    *more: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    than: str | None,
) -> _Matched:
    """Read metrics of the runs that all methods share, as differences if `than` names a method."""
    everything = [row for part in (rows, *more) for row in part]
    runs: dict[str, dict[tuple, Mapping[str, Any]]] = {}
    for row in everything:
        runs.setdefault(row["method"], {})[tuple(row[name] for name in RUN)] = row
    if not runs:
        raise InputError("rows is empty; expected at least one row")
    if than is not None:
        one_of("than", than, runs)
    order = list(next(iter(runs.values())))
    if more:
        order = [run for run in order if all(run in own for own in runs.values())]
        if not order:
            raise InputError(
                f"rows of {', '.join(runs)} share no run; expected at least one with the same "
                f"{', '.join(RUN)}"
            )
    for method, own in runs.items():
        unmatched = set(own) ^ set(order)
        if unmatched and not more:
            raise InputError(
                f"rows are not matched: {method!r} has {len(own)} runs, and {len(unmatched)} are "
                f"not shared with the first method; expected the same runs for each method"
            )
    for row in everything:
        if lacking := [name for name in metrics if name not in row]:
            raise InputError(
                f"metrics is {list(metrics)}; a row of {row['method']!r} has no "
                f"{', '.join(lacking)}"
            )
    values: dict[str, dict[str, Tensor]] = {}
    for name in metrics:
        by_method = {
            method: torch.tensor([float(own[run][name]) for run in order])
            for method, own in runs.items()
        }
        base = by_method[than] if than is not None else 0
        values[name] = {method: own - base for method, own in by_method.items()}
    return _Matched([category for category, *_ in order], values)


def _add_cell(table: dict, title: str, method: str, interval: Interval) -> None:
    """Add an interval to a table of columns (title, value | low | high)."""
    for part in PARTS:
        table.setdefault((title, part), {})[method] = getattr(interval, part)


def _framed(table: dict, titles: str) -> pd.DataFrame:
    """Make a frame of a table of columns (title, value | low | high)."""
    frame = pd.DataFrame(table)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=[titles, None])
    return frame.rename_axis("method")

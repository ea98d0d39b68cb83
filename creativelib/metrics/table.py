"""Tables that compare methods: means over matched runs with intervals, as numbers and as text.

frame = compare(rows, metrics=["valid", "novel"])
print(shown(frame).to_markdown())  # or .to_latex()
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from ..errors import InputError, listed, one_of, whole
from .intervals import bootstrap

# Keys of a row that identify its run.
RUN = ("category", "seed", "pictures")
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
    and its 95 % interval, bootstrapped over runs. If `than` names a method, all values are
    differences from that method on the same runs; pairing separates small differences from the
    variation between runs.

    Further rows, such as those of one's own method, may cover fewer runs: the table then is of the
    runs that all methods share.

    Raises InputError for methods that did not make the same runs, for further rows without a
    common run, a metric that a row lacks, an unknown `than`, and a plain text in place of a list.
    """
    metrics = listed("metrics", metrics)
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
    found = {}
    for method, own in runs.items():
        for name in metrics:
            values = torch.tensor([float(own[run][name]) for run in order])
            if than is not None:
                values = values - torch.tensor([float(runs[than][run][name]) for run in order])
            interval = bootstrap(values)
            for part in ("value", "low", "high"):
                found.setdefault((name, part), {})[method] = getattr(interval, part)
    frame = pd.DataFrame(found)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=["metric", None])
    return frame.rename_axis("method")


def shown(frame: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Format the cells as text, such as "0.52 (0.49–0.55)", with `digits` significant digits.

    Raises InputError for no digits.
    """
    whole("digits", digits, 1, 17)

    def cell(method: str, name: str) -> str:
        value, low, high = (
            f"{frame.loc[method, (name, part)]:.{digits}g}" for part in ("value", "low", "high")
        )
        return f"{value} ({low}–{high})"

    names = frame.columns.get_level_values(0).unique()
    return pd.DataFrame(
        {name: [cell(method, name) for method in frame.index] for name in names}, index=frame.index
    )

"""Methods side by side: means over matched runs with intervals, as a DataFrame, and as text for Markdown or LaTeX.

frame = compare(rows, ["valid", "novel"])
print(shown(frame).to_markdown())          # or .to_latex()
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from ..errors import InputError
from .intervals import bootstrap

RUN = ("category", "seed", "pictures")


def compare(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], than: str | None = None
) -> pd.DataFrame:
    """One line for each method, in the rows' order: of each metric the mean over its runs, and a 95 % interval, bootstrapped over runs.

    Rows are as `protocol.run` yields them, a number for each metric. With `than`, a method, all values are differences to that method's on
    the same runs, paired, which tells small differences from the runs' own. Columns are (metric, value | low | high). Raises InputError for
    methods that did not make the same runs, a metric that a row lacks, and an unknown `than`.
    """
    runs: dict[str, dict[tuple, Mapping[str, Any]]] = {}
    for row in rows:
        runs.setdefault(row["method"], {})[tuple(row[name] for name in RUN)] = row
    if not runs:
        raise InputError("rows is empty; expected at least one row")
    if than is not None and than not in runs:
        raise InputError(f"than is {than!r}; expected {', '.join(runs)}")
    same = set(next(iter(runs.values())))
    for method, own in runs.items():
        if set(own) != same:
            raise InputError(
                f"rows are not matched: {method!r} has {len(own)} runs, {len(set(own) ^ same)} unlike the first method's"
            )
    for row in rows:
        if lacking := [name for name in metrics if name not in row]:
            raise InputError(
                f"metrics is {list(metrics)}; a row of {row['method']!r} has no {', '.join(lacking)}"
            )
    order = list(next(iter(runs.values())))
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
    """The table as text: "0.52 (0.49–0.55)", with so many significant digits."""

    def cell(method: str, name: str) -> str:
        value, low, high = (
            f"{frame.loc[method, (name, part)]:.{digits}g}" for part in ("value", "low", "high")
        )
        return f"{value} ({low}–{high})"

    names = frame.columns.get_level_values(0).unique()
    return pd.DataFrame(
        {name: [cell(method, name) for method in frame.index] for name in names}, index=frame.index
    )

"""Figures of benchmarks/evaluation.py from its rows: the big table, which metric tracks the truth, how another oracle ranks."""

from collections.abc import Sequence
from typing import Any

import torch
from figures import Figure, bootstrap, publish
from jaxtyping import Float
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from creativelib.metrics.table import compare

Row = dict[str, Any]
TRUTH = "true: valid and novel"
SECOND = "second oracle: valid and novel"
# Metrics by which less is better, or nearer to what is usual.
LESS = ("FID", "KID", "CLIP: relative typicality", "relative typicality")
LEFT_OUT = ("method", "category", "seed", "pictures", "seen", "seconds a picture", "KID's standard error", SECOND)
PERCENT = ("precision", "recall", "coverage", "true: valid", "true: novel in form", TRUTH, SECOND)


def metrics(rows: Sequence[Row]) -> list[str]:
    return [name for name in rows[0] if name not in LEFT_OUT]


def spearman(a: Float[Tensor, "c n"], b: Float[Tensor, "c n"]) -> Float[Tensor, " c"]:
    """The rank correlation in each category."""
    found: list[Any] = [spearmanr(x, y) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    return torch.tensor([each.statistic for each in found])


def by_category(rows: Sequence[Row], name: str) -> Float[Tensor, "c r"]:
    """A metric of all runs, category by category, in the same order of methods and seeds."""
    ordered = sorted(rows, key=lambda row: (row["category"], row["method"], row["seed"]))
    count = len({row["category"] for row in rows})
    return torch.tensor([row[name] for row in ordered], dtype=torch.float64).view(count, -1)


def table_figures(rows: Sequence[Row]) -> list[Figure]:
    names = [*metrics(rows), "seconds a picture"]
    frame, figures = compare(rows, names), []
    for method in frame.index:
        for name in names:
            value, low, high = (frame.loc[method, (name, part)] * (100 if name in PERCENT else 1) for part in ("value", "low", "high"))
            figures.append(Figure(f"{method}: {name}", value, "%" if name in PERCENT else "", low=low, high=high))
    return figures


def correlation_figures(rows: Sequence[Row]) -> list[Figure]:
    """Rank correlations over a category's runs, averaged over categories: metrics differ in level from category to category."""
    figures = []
    for name in metrics(rows):
        if name.startswith("true: "):
            continue
        own = by_category(rows, name) * (-1 if name in LESS else 1)
        for truth in ("true: valid", "true: novel in form", TRUTH):
            value, interval = bootstrap(spearman(own, by_category(rows, truth)))
            figures.append(Figure(f"{'- ' if name in LESS else ''}{name}: {truth.removeprefix('true: ')}", value, "", low=interval[0],
                                  high=interval[1]))
    return figures


def oracle_figures(rows: Sequence[Row]) -> list[Figure]:
    """How methods rank by the one oracle and by the other."""
    frame = compare(rows, [TRUTH, SECOND])
    one, other = (torch.tensor(frame[(name, "value")].to_numpy()) for name in (TRUTH, SECOND))
    figures = [Figure("rank correlation of methods by either oracle", spearman(one[None], other[None]).item(), "")]
    order = {name: rankdata(-values.numpy()) for name, values in (("rank", one), ("rank by the second oracle", other))}
    for i, method in enumerate(frame.index):
        for name, values in ((TRUTH.removeprefix("true: "), one), ("by the second oracle", other)):
            figures.append(Figure(f"{method}: {name}", 100 * values[i].item(), "%"))
        figures += [Figure(f"{method}: {name}", float(found[i]), "") for name, found in order.items()]
    return figures


def publish_all(rows: Sequence[Row]) -> None:
    for name, make in (("table", table_figures), ("correlation", correlation_figures), ("oracles", oracle_figures)):
        publish(f"evaluation-{name}", make(rows), 0)

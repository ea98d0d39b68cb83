"""Figures that benchmarks.evaluation.table makes of its rows.

They are the table of all methods, which metrics track the truth, how a second oracle ranks the
methods, what the papers claim, and what budgets buy (`benchmarks.evaluation.budget`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from benchmarks.evaluation.budget import COSTS, budget_figures
from benchmarks.evaluation.categories import TRUTH, Row, category_figures, difference_figures
from benchmarks.figures import RESULTS, Figure, at_least, at_most, bootstrap, publish
from creativelib.metrics.divergence import gaussian_kl
from creativelib.metrics.realism import frechet
from creativelib.metrics.table import compare
from creativelib.seeds import seeded
from creativelib.vision.judge import Judge
from creativelib.world.scenes import draw, sample_scenes

SECOND = "second oracle: valid and novel"
REAL = 400  # pictures of the world that distances are taken to
LESS_IS_BETTER = ("Frechet distance, judge", "CMMD, judge")  # as they are commonly read
NO_METRICS = (
    "method",
    "category",
    "seed",
    "pictures",
    "seen",
    "candidates",
    *COSTS,
    SECOND,
)
PERCENT = ("precision", "recall", "coverage", "true: valid", "true: novel in form", TRUTH, SECOND)


def metrics(rows: Sequence[Row]) -> list[str]:
    """List the names of the columns that are metrics and that all rows have."""
    return [name for name in rows[0] if name not in NO_METRICS and all(name in row for row in rows)]


def spearman(a: Float[Tensor, "c n"], b: Float[Tensor, "c n"]) -> Float[Tensor, " c"]:
    """Compute the rank correlation in each category.

    It is 0 where a metric is the same for all runs, and so ranks none above another.
    """
    correlations = []
    for x, y in zip(a.numpy(), b.numpy(), strict=True):
        found: Any = spearmanr(x, y) if np.ptp(x) and np.ptp(y) else None
        correlations.append(found.statistic if found else 0.0)
    return torch.tensor(correlations)


def by_category(rows: Sequence[Row], name: str) -> Float[Tensor, "c r"]:
    """List a metric of all runs by category, in the same order of methods and seeds."""
    ordered = sorted(rows, key=lambda row: (row["category"], row["method"], row["seed"]))
    count = len({row["category"] for row in rows})
    return torch.tensor([row[name] for row in ordered], dtype=torch.float64).view(count, -1)


def table_figures(rows: Sequence[Row]) -> list[Figure]:
    """Make a figure of each method and metric."""
    names = [*metrics(rows), *(name for name in COSTS if name in rows[0])]
    frame = compare(rows, metrics=names)
    figures = []
    for method in frame.index:
        for name in names:
            scale = 100 if name in PERCENT else 1
            unit = "%" if name in PERCENT else ""
            value, low, high = (
                frame.loc[method, (name, part)] * scale for part in ("value", "low", "high")
            )
            figures.append(Figure(f"{method}: {name}", value, unit, low=low, high=high))
    return figures


def correlation_figures(rows: Sequence[Row]) -> list[Figure]:
    """Correlate each metric with the truth by ranks within a category, averaged over categories.

    Metrics differ in level from category to category.
    """
    figures = []
    for name in metrics(rows):
        if name.startswith("true: "):
            continue
        sign = -1 if name in LESS_IS_BETTER else 1
        title = f"- {name}" if name in LESS_IS_BETTER else name
        values = by_category(rows, name) * sign
        for truth in ("true: valid", "true: novel in form", TRUTH):
            value, (low, high) = bootstrap(spearman(values, by_category(rows, truth)))
            label = f"{title}: {truth.removeprefix('true: ')}"
            figures.append(Figure(label, value, "", low=low, high=high))
    return figures


def oracle_figures(rows: Sequence[Row]) -> list[Figure]:
    """Compare how methods rank by either oracle."""
    frame = compare(rows, metrics=[TRUTH, SECOND])
    first, second = (torch.tensor(frame[(name, "value")].to_numpy()) for name in (TRUTH, SECOND))
    correlation = spearman(first[None], second[None]).item()
    figures = [Figure("rank correlation of methods by either oracle", correlation, "")]
    shares = {TRUTH.removeprefix("true: "): first, "by the second oracle": second}
    ranks = {
        "rank": rankdata(-first.numpy()),
        "rank by the second oracle": rankdata(-second.numpy()),
    }
    for i, method in enumerate(frame.index):
        for name, values in shares.items():
            figures.append(Figure(f"{method}: {name}", 100 * values[i].item(), "%"))
        for name, order in ranks.items():
            figures.append(Figure(f"{method}: {name}", float(order[i]), ""))
    return figures


def claim_figures(rows: Sequence[Row]) -> list[Figure]:
    """Compare what the papers claim of their methods, as bars, with what is measured here.

    Intervals are over categories. Distances are taken from all runs of a category together to the
    world's own pictures, between the judge's embeddings.
    """
    judge = Judge.load()
    words = sorted({row["category"] for row in rows})
    real = {}
    for word in words:
        scenes = sample_scenes(REAL, seeded(77), category=word)
        real[word] = judge.encode_images(draw(scenes))

    def runs(method: str, word: str) -> list[Row]:
        return [row for row in rows if (row["method"], row["category"]) == (method, word)]

    def distances(measure: Callable[[Tensor, Tensor], float], method: str) -> Tensor:
        values = []
        for word in words:
            embeddings = torch.tensor([z for row in runs(method, word) for z in row["seen"]])
            values.append(measure(embeddings, real[word]))
        return torch.tensor(values)

    def means(method: str, name: str) -> Tensor:
        return torch.tensor([[row[name] for row in runs(method, word)] for word in words]).mean(1)

    steered = "rarity steering"
    plain = "plain"
    guided = "rarity guidance"
    two_negatives = "ConceptLab, two negatives"
    adaptive = "ConceptLab, adaptive"
    kl, kl_interval = bootstrap(distances(gaussian_kl, steered) / distances(gaussian_kl, plain))
    far, far_interval = bootstrap(distances(frechet, steered) - distances(frechet, plain))
    seconds = means(guided, "seconds a picture") / means(plain, "seconds a picture")
    extra, extra_interval = bootstrap(100 * (seconds - 1))
    valid, valid_interval = bootstrap(100 * means(steered, "true: valid"))
    figures = [
        at_least(
            "rarity steering: KL from the world's pictures, times plain sampling's",
            kl,
            "",
            bar=2,
            interval=kl_interval,
        ),
        # The paper's bar is one on the FID, in Inception's eyes: not comparable.
        Figure(
            "rarity steering: Frechet distance, judge, more than plain sampling's",
            far,
            "",
            bar=0.05,
            low=far_interval[0],
            high=far_interval[1],
        ),
        at_most(
            "rarity guidance: more time than plain sampling",
            extra,
            "%",
            bar=15,
            interval=extra_interval,
        ),
        at_least("rarity steering: valid", valid, "%", bar=85, interval=valid_interval),
    ]
    similarity = means(two_negatives, "positive similarity")
    for rival in ("negative prompt, prior", "negative prompt, decoder"):
        ahead = similarity > means(rival, "positive similarity")
        label = f"of {len(words)} categories with more positive similarity than {rival}"
        figures.append(
            at_least(f"{two_negatives}: {label}", float(ahead.sum()), "", bar=len(words))
        )
    gain = means(adaptive, "true: novel in form") - means(two_negatives, "true: novel in form")
    new, new_interval = bootstrap(100 * gain)
    figures.append(
        at_least(
            "ConceptLab, adaptive: more pictures novel in form than with two negatives",
            new,
            "points",
            bar=0,
            interval=new_interval,
        )
    )
    return figures


FIGURES: dict[str, Callable[[Sequence[Row]], list[Figure]]] = {
    "table": table_figures,
    "categories": category_figures,
    "differences": difference_figures,
    "correlation": correlation_figures,
    "oracles": oracle_figures,
    "claims": claim_figures,
    "budget": budget_figures,
}


def publish_all(rows: Sequence[Row]) -> None:
    """Write the rows without embeddings, and all figures, into benchmarks/results."""
    pd.DataFrame(rows).drop(columns="seen").round(4).to_csv(
        RESULTS / "evaluation-runs.csv", index=False
    )
    for name, make in FIGURES.items():
        publish(f"evaluation-{name}", make(rows), 0)

"""Figures of benchmarks/evaluation/table.py from its rows: the big table, which metric tracks the truth, how another oracle ranks, what was
claimed."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from benchmarks.figures import RESULTS, Figure, at_least, at_most, bootstrap, publish
from creativelib.metrics.divergence import gaussian_kl
from creativelib.metrics.realism import frechet
from creativelib.metrics.table import compare
from creativelib.vision.judge import Judge
from creativelib.world.scenes import draw, sample_scenes

Row = dict[str, Any]
TRUTH = "true: valid and novel"
SECOND = "second oracle: valid and novel"
REAL = 400  # pictures of the world that distances are taken to
LESS = ("FID", "KID")  # metrics of which less is better, as they are commonly read
LEFT_OUT = (
    "method",
    "category",
    "seed",
    "pictures",
    "seen",
    "seconds a picture",
    "KID's standard error",
    SECOND,
)
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
    frame = compare(rows, names)
    figures = []
    for method in frame.index:
        for name in names:
            value, low, high = (
                frame.loc[method, (name, part)] * (100 if name in PERCENT else 1)
                for part in ("value", "low", "high")
            )
            figures.append(
                Figure(
                    f"{method}: {name}", value, "%" if name in PERCENT else "", low=low, high=high
                )
            )
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
            figures.append(
                Figure(
                    f"{'- ' if name in LESS else ''}{name}: {truth.removeprefix('true: ')}",
                    value,
                    "",
                    low=interval[0],
                    high=interval[1],
                )
            )
    return figures


def oracle_figures(rows: Sequence[Row]) -> list[Figure]:
    """How methods rank by the one oracle and by the other."""
    frame = compare(rows, [TRUTH, SECOND])
    one, other = (torch.tensor(frame[(name, "value")].to_numpy()) for name in (TRUTH, SECOND))
    figures = [
        Figure(
            "rank correlation of methods by either oracle",
            spearman(one[None], other[None]).item(),
            "",
        )
    ]
    order = {
        name: rankdata(-values.numpy())
        for name, values in (("rank", one), ("rank by the second oracle", other))
    }
    for i, method in enumerate(frame.index):
        for name, values in ((TRUTH.removeprefix("true: "), one), ("by the second oracle", other)):
            figures.append(Figure(f"{method}: {name}", 100 * values[i].item(), "%"))
        figures += [
            Figure(f"{method}: {name}", float(found[i]), "") for name, found in order.items()
        ]
    return figures


def claim_figures(rows: Sequence[Row]) -> list[Figure]:
    """What the papers say of their methods, as bars, and what is so here; intervals over categories. Distances are of all runs of a
    category together, in the judge's eyes, to the world's own pictures."""
    judge = Judge.load()
    words = sorted({row["category"] for row in rows})
    real = {
        word: judge.encode_images(
            draw(sample_scenes(REAL, torch.Generator().manual_seed(77), category=word))
        )
        for word in words
    }

    def runs(method: str, word: str) -> list[Row]:
        return [row for row in rows if (row["method"], row["category"]) == (method, word)]

    def each(measure: Callable[[Tensor, Tensor], float], method: str) -> Tensor:
        return torch.tensor(
            [
                measure(
                    torch.tensor([x for row in runs(method, word) for x in row["seen"]]), real[word]
                )
                for word in words
            ]
        )

    def means(method: str, name: str) -> Tensor:
        return torch.tensor([[row[name] for row in runs(method, word)] for word in words]).mean(1)

    steered = "rarity steering"
    usual = "plain"
    guided = "rarity guidance"
    kl, kl_in = bootstrap(each(gaussian_kl, steered) / each(gaussian_kl, usual))
    fid, fid_in = bootstrap(each(frechet, steered) - each(frechet, usual))
    more, more_in = bootstrap(
        100 * (means(guided, "seconds a picture") / means(usual, "seconds a picture") - 1)
    )
    valid, valid_in = bootstrap(100 * means(steered, "true: valid"))
    figures = [
        at_least(
            "rarity steering: KL from the world's pictures, times plain sampling's",
            kl,
            "",
            2,
            kl_in,
        ),
        at_most("rarity steering: FID, more than plain sampling's", fid, "", 0.05, fid_in),
        at_most("rarity guidance: more time than plain sampling", more, "%", 15, more_in),
        at_least("rarity steering: valid", valid, "%", 85, valid_in),
    ]
    for rival in ("negative prompt, prior", "negative prompt, decoder"):
        ahead = means("ConceptLab, two negatives", "positive similarity") > means(
            rival, "positive similarity"
        )
        figures.append(
            at_least(
                f"ConceptLab, two negatives: of {len(words)} categories with more positive similarity than {rival}",
                float(ahead.sum()),
                "",
                len(words),
            )
        )
    new, new_in = bootstrap(
        100
        * (
            means("ConceptLab, adaptive", "true: novel in form")
            - means("ConceptLab, two negatives", "true: novel in form")
        )
    )
    return [
        *figures,
        at_least(
            "ConceptLab, adaptive: more pictures novel in form than with two negatives",
            new,
            "points",
            0,
            new_in,
        ),
    ]


def publish_all(rows: Sequence[Row]) -> None:
    pd.DataFrame(rows).drop(columns="seen").round(4).to_csv(
        RESULTS / "evaluation-runs.csv", index=False
    )
    for name, make in (
        ("table", table_figures),
        ("correlation", correlation_figures),
        ("oracles", oracle_figures),
        ("claims", claim_figures),
    ):
        publish(f"evaluation-{name}", make(rows), 0)

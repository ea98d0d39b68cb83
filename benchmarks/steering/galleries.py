"""Measure whether a gallery repeats itself, with and without habituation.

    python -m benchmarks.steering.galleries [--only CATEGORY ...]

A gallery is 16 pictures of a category and seed. "Default" is what `creativelib create` draws, of
one batch of four concepts; "spread" is the same with a stronger repulsion; "habituated" is that
with a second batch, which turns away from what the first shows. The oracle reads the parts, the
judge's embeddings give the Vendi score. The commonest value of a part is averaged over a category's
structural parts; beside it stands the largest of them, which is the motif. Seconds are the
processor's, of density, steering and drawing. Intervals are bootstrapped over categories, each of
which is the mean of its seeds; differences and ratios are paired by category.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.figures import Figure, at_least, at_most, bootstrap
from benchmarks.judges import Found, Judges, named, run
from creativelib.commands.creation import draw
from creativelib.metrics.diversity import vendi
from creativelib.seeds import seeded
from creativelib.steering.habituation import (
    HABITUATION_DEFAULTS,
    NO_HABITUATION,
    steer_in_turn,
)
from creativelib.steering.settings import STEER_DEFAULTS
from creativelib.steering.target import fit_baseline
from creativelib.world import CATEGORIES
from creativelib.world import category as find_category

COUNT = 16  # pictures of a gallery
SEEDS = 2
VENDI = ("Vendi, judge, q = 1", "")
COMMONEST = ("commonest value of a part, mean over parts", "%")
BOTH = ("valid and novel in form", "%")
TIME = ("time, density, steering and drawing", "s")
SPREAD = replace(STEER_DEFAULTS, spread=20.0)
WAYS = {
    "default": (STEER_DEFAULTS, NO_HABITUATION),
    "spread": (SPREAD, NO_HABITUATION),
    "habituated": (SPREAD, HABITUATION_DEFAULTS),
}


def gallery(judges: Judges, category: str, seed: int, way: str) -> dict[str, Any]:
    """Steer and draw one gallery, and measure it. Everything is paid for: the density, too."""
    pipe = judges.pipe
    config, habituation = WAYS[way]
    prompt, template = named(category)
    clock = time.process_time()
    density = fit_baseline(pipe, prompt)
    fitted = time.process_time()
    result = steer_in_turn(
        pipe,
        category,
        density=density,
        config=config,
        habituation=habituation,
        seed=seed,
        template=template,
    )
    steered = time.process_time()
    drawn = draw(
        pipe,
        result.concept,
        template,
        count=COUNT,
        config=config,
        generator=seeded(seed),
        steered=result,
    )
    done = time.process_time()
    found = judges.oracle.judge(drawn.pictures, category)
    return {
        "vendi": vendi(judges.judge.encode_images(drawn.pictures)),
        "commonest": commonest(found.reading.factors, category),
        "valid": found.valid.float().mean().item(),
        "both": (found.valid & found.novel_in_form).float().mean().item(),
        "rarity": density.surprisal(drawn.z).median().item() / density.quantile(0.99),
        "passed": result.passed.float().mean().item(),
        "fitting": fitted - clock,
        "steering": steered - fitted,
        "drawing": done - steered,
    }


def commonest(factors: Float[Tensor, "n f v"], category: str) -> dict[str, float]:
    """Return the share of the commonest value of each structural part, by the part's name."""
    parts = [f for f in find_category(category).factors if f.structural]
    values = factors.argmax(2)
    return {
        part.name: values[:, i].bincount().max().item() / len(values)
        for i, part in enumerate(parts)
    }


def part(judges: Judges, category: str) -> dict[str, Any]:
    """Measure the galleries of a category, all ways with the same seeds."""
    return {way: [gallery(judges, category, seed, way) for seed in range(SEEDS)] for way in WAYS}


def columns(found: Found, way: str) -> dict[tuple[str, str], Tensor]:
    """Average each measure, by name and unit, over the seeds of a category: a value for each."""

    def column(measure: Callable[[dict[str, Any]], float]) -> Tensor:
        each = [[measure(row) for row in rows[way]] for rows in found.values()]
        return torch.tensor(each, dtype=torch.float64).mean(1)

    def shares(row: dict[str, Any]) -> list[float]:
        return list(row["commonest"].values())

    return {
        VENDI: column(lambda row: row["vendi"]),
        COMMONEST: column(lambda row: 100 * fmean(shares(row))),
        ("commonest value of a part, largest over parts", "%"): column(
            lambda row: 100 * max(shares(row))
        ),
        ("valid", "%"): column(lambda row: 100 * row["valid"]),
        BOTH: column(lambda row: 100 * row["both"]),
        ("median surprisal / baseline's 99th percentile", ""): column(lambda row: row["rarity"]),
        ("concepts that reached the target", "%"): column(lambda row: 100 * row["passed"]),
        ("time, steering", "s"): column(lambda row: row["steering"]),
        TIME: column(lambda row: row["fitting"] + row["steering"] + row["drawing"]),
    }


def ratio(a: Tensor, b: Tensor) -> tuple[float, tuple[float, float]]:
    """Divide the mean of one column by that of another; categories are drawn in pairs."""
    return bootstrap(torch.stack([a, b], 1), lambda rows: rows[:, 0].mean() / rows[:, 1].mean())


def figures(found: Found) -> list[Figure]:
    """Summarize all ways, and compare the others with the default and the bars."""
    ways = {way: columns(found, way) for way in WAYS}
    rows = []
    for way, measured in ways.items():
        for (name, unit), column in measured.items():
            value, (low, high) = bootstrap(column)
            rows.append(Figure(f"{way}: {name}", value, unit, low=low, high=high))
    default = ways.pop("default")
    for way, new in ways.items():
        gain, gains = ratio(new[VENDI], default[VENDI])
        part, parts = bootstrap(new[COMMONEST])
        loss, losses = bootstrap(default[BOTH] - new[BOTH])
        cost, costs = ratio(new[TIME], default[TIME])
        rows += [
            at_least(f"{way} / default: Vendi", gain, "", bar=1.4, interval=gains),
            at_most(f"{way}, to the bar: {COMMONEST[0]}", part, "%", bar=42, interval=parts),
            at_most(f"default minus {way}: {BOTH[0]}", loss, "points", bar=3, interval=losses),
            at_most(f"{way} / default: time", cost, "", bar=2, interval=costs),
        ]
    return rows


if __name__ == "__main__":
    run(
        __doc__ or "",
        "steering",
        parts={"habituation": part},
        figures={"habituation": figures},
        categories=[c.name for c in CATEGORIES],
    )

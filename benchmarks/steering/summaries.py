"""Summaries of benchmarks.steering.runs: one function for each part makes figures of its rows."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks.figures import Figure, at_least, at_most, bootstrap

SEEDS = 5  # runs of a category
PULLBACK_STRENGTHS = (0.0, 0.2, 0.4, 0.6)
DIALS = (0.25, 0.5, 0.75, 1.3, 2.0)


def groups(
    found: list[dict[str, Any]], name: str, scale: float = 1.0
) -> tuple[float, tuple[float, float]]:
    """Average a column over pictures, with an interval over categories and their concepts.

    `found` holds the rows of one category each.
    """
    means = [sum(group) / len(group) for rows in found for group in rows[name]]
    categories = [i for i, rows in enumerate(found) for _ in rows[name]]
    value, (low, high) = bootstrap(torch.tensor(means), groups=categories)
    return scale * value, (scale * low, scale * high)


def frechet(a: list[list[float]], b: list[list[float]]) -> float:
    """Compute the Frechet distance between two sets of the judge's unit embeddings.

    The formula is torch-fidelity's.
    """
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    def statistics(rows: list[list[float]]) -> dict[str, Any]:
        values = torch.tensor(rows, dtype=torch.float64)
        return {"mu": values.mean(0).numpy(), "sigma": torch.cov(values.T).numpy()}

    return fid_statistics_to_metric(statistics(a), statistics(b), verbose=False)[
        "frechet_inception_distance"
    ]


def combinations(rows: dict[str, Any]) -> int:
    """Count the combinations of structural factors that the runs show.

    Each run counts with the commonest combination among its pictures.
    """
    each = len(rows["combination"]) // SEEDS
    shown = set()
    for seed in range(SEEDS):
        forms = [
            tuple(form)
            for group in rows["combination"][seed * each : (seed + 1) * each]
            for form in group
        ]
        shown.add(max(set(forms), key=forms.count))
    return len(shown)


def auc(high: list[float], low: list[float]) -> float:
    """Compute how often a draw from the first set exceeds one from the second."""
    a = torch.tensor(high)
    b = torch.tensor(low)
    return (a[:, None] > b[None]).float().mean().item()


def flat(rows: dict[str, Any], name: str) -> list[float]:
    """List a column's values of all pictures."""
    return [value for group in rows[name] for value in group]


def shares(title: str, rows: list[dict[str, Any]]) -> list[Figure]:
    """Make figures of the shares of valid and of novel pictures, in percent."""
    figures = []
    for name, label in (
        ("valid", "valid"),
        ("form", "novel in form"),
        ("surface", "novel in surface only"),
        ("both", "valid and novel in form"),
    ):
        value, (low, high) = groups(rows, name, 100)
        figures.append(Figure(f"{title}: {label}", value, "%", low=low, high=high))
    return figures


def median_ratios(parts: list[dict[str, Any]], tails: list[float]) -> list[float]:
    """Divide the median surprisal of each category by the baseline's 99th percentile."""
    medians = [torch.tensor(flat(part, "surprisal")).median().item() for part in parts]
    return [median / tail for median, tail in zip(medians, tails, strict=True)]


def mean(values: list[float]) -> float:
    """Average plain numbers."""
    return sum(values) / len(values)


def main_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Summarize steering at the default dial, beside the baseline."""
    parts = list(found.values())
    steered = [part["steered"] for part in parts]
    baseline = [part["baseline"] for part in parts]
    ratios = median_ratios(steered, [part["tail"] for part in parts])
    valid, valid_interval = groups(steered, "valid", 100)
    form, form_interval = groups(steered, "form", 100)
    steered_accuracy = groups(steered, "judge", 100)[0]
    baseline_accuracy = groups(baseline, "judge", 100)[0]
    distinct = [combinations(rows) for rows in steered]
    steered_distances = [frechet(part["steered"]["seen"], part["wild"]) for part in parts]
    baseline_distances = [frechet(part["baseline"]["seen"], part["wild"]) for part in parts]
    seconds, checks = (
        sum(sum(part[name]) for part in parts) / (SEEDS * len(parts))
        for name in ("seconds", "check_seconds")
    )
    figures = [
        at_least(
            "steering: median surprisal / baseline's 99th percentile, worst category",
            min(ratios),
            "",
            bar=1,
        ),
        at_least("steering: valid", valid, "%", bar=85, interval=valid_interval),
        at_least("steering: novel in form", form, "%", bar=50, interval=form_interval),
        at_least(
            "steering: distinct structural combinations over 5 seeds, worst category",
            min(distinct),
            "",
            bar=4,
        ),
        at_most(
            "judge's category accuracy: baseline minus steering",
            baseline_accuracy - steered_accuracy,
            "points",
            bar=5,
        ),
        Figure(
            "steering: Frechet distance to wild pictures, judge's embeddings",
            mean(steered_distances),
            "",
        ),
        Figure(
            "baseline: Frechet distance to wild pictures, judge's embeddings",
            mean(baseline_distances),
            "",
        ),
        Figure("steering: time of a run of 4 concepts and 16 embeddings", seconds, "s"),
        Figure("steering: of which semantic check", checks, "s"),
    ]
    for title, rows in (("steering", steered), ("baseline", baseline)):
        for name, label in (
            ("decided", "decidedness"),
            ("log_prob", "true log-probability, nats"),
        ):
            value, (low, high) = groups(rows, name)
            figures.append(Figure(f"{title}: {label}", value, "", low=low, high=high))
    return figures + shares("baseline", baseline) + shares("steering", steered)


def ablation_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Summarize each kind of concept under each pullback."""
    figures = []
    for name in next(iter(found.values())):
        rows = [part[name] for part in found.values()]
        worst = [min(mean(group) for group in row["valid"]) for row in rows]
        title = f"{name}: valid, worst seed of each category"
        value = 100 * sum(worst) / len(worst)
        figures += [*surprisals_and_shares(name, rows), Figure(title, value, "%")]
    return figures


def rival_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Summarize random prompts that name parts."""
    figures = []
    for name in next(iter(found.values())):
        figures += surprisals_and_shares(name, [part[name] for part in found.values()])
    return figures


def surprisals_and_shares(title: str, rows: list[dict[str, Any]]) -> list[Figure]:
    """Make a figure of the mean surprisal, followed by those of `shares`."""
    value, (low, high) = groups(rows, "surprisal")
    surprisal = Figure(f"{title}: surprisal, nats", value, "", low=low, high=high)
    return [surprisal, *shares(title, rows)]


def guidance_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Summarize sampling without guidance and with each kind of it."""
    figures = []
    tails = [part["tail"] for part in found.values()]
    for name in next(iter(found.values())):
        if name == "tail":
            continue
        rows = [part[name] for part in found.values()]
        title = f"guidance, {name}" if name != "plain" else "no guidance"
        rarity = f"{title}: median surprisal / baseline's 99th percentile"
        ratio = mean(median_ratios(rows, tails))
        if name == "prior, split":
            value, interval = groups(rows, "valid", 100)
            figures += [
                at_least(rarity, ratio, "", bar=1),
                at_least(f"{title}: valid", value, "%", bar=80, interval=interval),
                *shares(title, rows)[1:],
            ]
        else:
            figures += [Figure(rarity, ratio, ""), *shares(title, rows)]
    return figures


def cost_figures(found: dict[str, dict[str, float]]) -> list[Figure]:
    """Compare the seconds of guided sampling with those of sampling without guidance."""
    figures = []
    for name in ("prior, split", "prior, pushed", "decoder, pushed"):
        extra = [part[name] / part["no guidance"] - 1 for part in found.values()]
        value = mean(extra) * 100
        title = f"guidance, {name}: more time than without"
        if name == "prior, split":
            figures.append(at_most(title, value, "%", bar=15))
        else:
            figures.append(Figure(title, value, "%"))
    return figures


def dial_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Compare neighboring settings of the dial, and summarize each."""
    figures = []
    for lower, higher in pairwise(map(str, DIALS)):
        areas = [
            auc(flat(part[higher], "surprisal"), flat(part[lower], "surprisal"))
            for part in found.values()
        ]
        title = f"dial {higher} above {lower}: AUC of surprisals"
        figures.append(at_least(title, mean(areas), "", bar=0.9))
    for dial in map(str, DIALS):
        rows = [part[dial] for part in found.values()]
        value, (low, high) = groups(rows, "log_prob")
        title = f"dial {dial}: true log-probability, nats"
        figures += [
            *shares(f"dial {dial}", rows),
            Figure(title, value, "", low=low, high=high),
        ]
    return figures


def depth_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Summarize each dial and strength of the pullback."""
    figures = []
    for setting in next(iter(found.values())):
        rows = [part[setting] for part in found.values()]
        ratios = median_ratios(rows, [row["tail"] for row in rows])
        title = f"{setting}: median surprisal / baseline's 99th percentile"
        figures += [Figure(title, mean(ratios), ""), *shares(setting, rows)]
    return figures


def batch_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Compare one batch of eight concepts with eight runs of one."""
    gains = [8 * part["one"] / part["eight"] for part in found.values()]
    title = "eight concepts in one batch: times faster than one by one"
    return [at_least(title, mean(gains), "", bar=1.5)]


FIGURES: dict[str, Callable[[dict[str, dict[str, Any]]], list[Figure]]] = {
    "main": main_figures,
    "ablation": ablation_figures,
    "rival": rival_figures,
    "guidance": guidance_figures,
    "cost": cost_figures,
    "dial": dial_figures,
    "depth": depth_figures,
    "batch": batch_figures,
}

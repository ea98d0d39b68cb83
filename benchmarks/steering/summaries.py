"""What benchmarks/steering/runs.py says of its parts: each makes figures of what was found, by category."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks.figures import Figure, at_least, at_most, bootstrap

SEEDS = 5  # runs of a category
DEPTHS = (0.0, 0.2, 0.4, 0.6)
DIALS = (0.25, 0.5, 0.75, 1.3, 2.0)


def groups(
    rows: list[dict[str, Any]], name: str, scale: float = 1.0
) -> tuple[float, tuple[float, float]]:
    """The mean over pictures, bootstrapped over the groups of all categories."""
    mean, (low, high) = bootstrap(
        torch.tensor([sum(group) / len(group) for row in rows for group in row[name]])
    )
    return scale * mean, (scale * low, scale * high)


def frechet(a: list[list[float]], b: list[list[float]]) -> float:
    """Frechet distance between two sets of the judge's unit embeddings (torch-fidelity's formula)."""
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    def statistics(rows: list[list[float]]) -> dict[str, Any]:
        values = torch.tensor(rows, dtype=torch.float64)
        return {"mu": values.mean(0).numpy(), "sigma": torch.cov(values.T).numpy()}

    return fid_statistics_to_metric(statistics(a), statistics(b), verbose=False)[
        "frechet_inception_distance"
    ]


def combinations(rows: dict[str, Any]) -> int:
    """How many different combinations of structural factors the runs show: for each run the commonest among its pictures."""
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
    """How often a draw of the first set exceeds one of the second."""
    a = torch.tensor(high)
    b = torch.tensor(low)
    return (a[:, None] > b[None]).float().mean().item()


def flat(rows: dict[str, Any], name: str) -> list[float]:
    return [value for group in rows[name] for value in group]


def shares(title: str, rows: list[dict[str, Any]]) -> list[Figure]:
    found = []
    for name, said in (
        ("valid", "valid"),
        ("form", "novel in form"),
        ("surface", "novel in surface only"),
        ("both", "valid and novel in form"),
    ):
        value, interval = groups(rows, name, 100)
        found.append(Figure(f"{title}: {said}", value, "%", None, None, *interval))
    return found


def main_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    steered, usual = ([part[name] for part in found.values()] for name in ("steered", "baseline"))
    ratios = [
        torch.tensor(flat(part["steered"], "surprisal")).median().item() / part["tail"]
        for part in found.values()
    ]
    valid, i1 = groups(steered, "valid", 100)
    form, i2 = groups(steered, "form", 100)
    judged = groups(steered, "judge", 100)[0]
    usually = groups(usual, "judge", 100)[0]
    distinct = [combinations(part["steered"]) for part in found.values()]
    fid = [
        [frechet(part[name]["seen"], part["wild"]) for part in found.values()]
        for name in ("steered", "baseline")
    ]
    seconds, checks = (
        sum(sum(part[name]) for part in found.values()) / (SEEDS * len(found))
        for name in ("seconds", "check_seconds")
    )
    figures = [
        at_least(
            "steering: median surprisal / baseline's 99th percentile, worst category",
            min(ratios),
            "",
            1,
        ),
        at_least("steering: valid", valid, "%", 85, i1),
        at_least("steering: novel in form", form, "%", 50, i2),
        at_least(
            "steering: distinct structural combinations over 5 seeds, worst category",
            min(distinct),
            "",
            4,
        ),
        at_most(
            "judge's category accuracy: baseline minus steering", usually - judged, "points", 5
        ),
        Figure(
            "steering: Frechet distance to wild pictures, judge's embeddings",
            sum(fid[0]) / len(fid[0]),
            "",
        ),
        Figure(
            "baseline: Frechet distance to wild pictures, judge's embeddings",
            sum(fid[1]) / len(fid[1]),
            "",
        ),
        Figure("steering: time of a run of 4 concepts and 16 embeddings", seconds, "s"),
        Figure("steering: of which semantic check", checks, "s"),
    ]
    for title, rows in (("steering", steered), ("baseline", usual)):
        for name, said in (("decided", "decidedness"), ("log_prob", "true log-probability, nats")):
            value, interval = groups(rows, name)
            figures.append(Figure(f"{title}: {said}", value, "", None, None, *interval))
    return figures + shares("baseline", usual) + shares("steering", steered)


def ablation_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    figures = []
    for name in next(iter(found.values())):
        rows = [part[name] for part in found.values()]
        value, interval = groups(rows, "surprisal")
        figures += [
            Figure(f"{name}: surprisal, nats", value, "", None, None, *interval),
            *shares(name, rows),
        ]
        worst = [min(sum(group) / len(group) for group in row["valid"]) for row in rows]
        figures.append(
            Figure(
                f"{name}: valid, worst seed of each category", 100 * sum(worst) / len(worst), "%"
            )
        )
    return figures


def rival_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    figures = []
    for name in next(iter(found.values())):
        rows = [part[name] for part in found.values()]
        value, interval = groups(rows, "surprisal")
        figures += [
            Figure(f"{name}: surprisal, nats", value, "", None, None, *interval),
            *shares(name, rows),
        ]
    return figures


def guidance_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    figures = []
    for name in next(iter(found.values())):
        if name == "tail":
            continue
        rows = [part[name] for part in found.values()]
        title = f"guidance, {name}" if name != "plain" else "no guidance"
        ratio = [
            torch.tensor(flat(part[name], "surprisal")).median().item() / part["tail"]
            for part in found.values()
        ]
        rarity = f"{title}: median surprisal / baseline's 99th percentile"
        if name == "prior, split":
            value, interval = groups(rows, "valid", 100)
            figures += [
                at_least(rarity, sum(ratio) / len(ratio), "", 1),
                at_least(f"{title}: valid", value, "%", 80, interval),
                *shares(title, rows)[1:],
            ]
        else:
            figures += [Figure(rarity, sum(ratio) / len(ratio), ""), *shares(title, rows)]
    return figures


def cost_figures(found: dict[str, dict[str, float]]) -> list[Figure]:
    more = {
        name: sum(part[name] / part["no guidance"] - 1 for part in found.values())
        / len(found)
        * 100
        for name in ("prior, split", "prior, pushed", "decoder, pushed")
    }
    return [
        at_most(f"guidance, {name}: more time than without", value, "%", 15)
        if name == "prior, split"
        else Figure(f"guidance, {name}: more time than without", value, "%")
        for name, value in more.items()
    ]


def dial_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    figures = []
    for low, high in pairwise(map(str, DIALS)):
        areas = [
            auc(flat(part[high], "surprisal"), flat(part[low], "surprisal"))
            for part in found.values()
        ]
        figures.append(
            at_least(
                f"dial {high} above {low}: AUC of surprisals", sum(areas) / len(areas), "", 0.9
            )
        )
    for dial in map(str, DIALS):
        rows = [part[dial] for part in found.values()]
        value, interval = groups(rows, "log_prob")
        figures += [
            *shares(f"dial {dial}", rows),
            Figure(f"dial {dial}: true log-probability, nats", value, "", None, None, *interval),
        ]
    return figures


def depth_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    figures = []
    for way in next(iter(found.values())):
        rows = [part[way] for part in found.values()]
        ratio = [torch.tensor(flat(row, "surprisal")).median().item() / row["tail"] for row in rows]
        figures += [
            Figure(
                f"{way}: median surprisal / baseline's 99th percentile", sum(ratio) / len(ratio), ""
            ),
            *shares(way, rows),
        ]
    return figures


def batch_figures(found: dict[str, dict[str, Any]]) -> list[Figure]:
    gain = [8 * part["one"] / part["eight"] for part in found.values()]
    return [
        at_least(
            "eight concepts in one batch: times faster than one by one",
            sum(gain) / len(gain),
            "",
            1.5,
        )
    ]


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

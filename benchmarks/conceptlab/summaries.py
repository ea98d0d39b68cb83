"""What benchmarks/conceptlab/runs.py says of its parts: each makes figures of what was found, by category."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.figures import Figure, at_least, at_most, bootstrap
from benchmarks.judges import Found

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SETTINGS = 3  # pairs of negatives
WAYS = (
    "ConceptLab",
    "negative prompt, prior",
    "negative prompt, decoder",
    "no negatives",
    "random parts",
)
RIVALS = {
    "negative prompt, prior": (5, 4),
    "negative prompt, decoder": (5, 5),
}  # the paper's score: positive, distance


def per_group(rows: dict[str, Any], name: str) -> Tensor:
    """One mean for each concept, or chunk of pictures."""
    return torch.tensor(rows[name]).double().mean(1)


def positives(rows: dict[str, Any]) -> Tensor:
    """Similarity to the category, for each group."""
    return per_group(rows, "positive")


def distance(rows: dict[str, Any]) -> Tensor:
    """Positive similarity minus the largest negative one, for each group."""
    return per_group(rows, "positive") - per_group(rows, "largest")


def agreement(thing: dict[str, Any]) -> Tensor:
    """For each concept the share of its pictures in which a visible factor is its commonest value, averaged over factors."""
    factors = torch.tensor(thing["factors"])
    visible = torch.tensor(thing["visible"])
    found = []
    for own, seen in zip(factors, visible, strict=True):
        shares = [
            (own[seen[:, j], j] == own[seen[:, j], j].mode().values).double().mean()
            for j in range(own.shape[1])
            if seen[:, j].any()
        ]
        found.append(torch.stack(shares).mean())
    return torch.stack(found)


def forms(thing: dict[str, Any], structural: list[bool]) -> list[tuple[int, ...]]:
    """For each concept the commonest value of every structural factor."""
    return [
        tuple(
            v
            for v, s in zip(torch.tensor(own).mode(0).values.tolist(), structural, strict=True)
            if s
        )
        for own in thing["factors"]
    ]


def everywhere(
    found: Found, way: str, name: str, scale: float = 100.0
) -> tuple[float, tuple[float, float]]:
    mean, (low, high) = bootstrap(
        torch.cat([per_group(part[way], name) for part in found.values()])
    )
    return scale * mean, (scale * low, scale * high)


def said(
    found: Found,
    way: str,
    names: tuple[tuple[str, str], ...] = (
        ("valid", "valid"),
        ("form", "novel in form"),
        ("both", "valid and novel in form"),
    ),
) -> list[Figure]:
    figures = []
    for name, label in names:
        value, interval = everywhere(found, way, name)
        figures.append(Figure(f"{way}: {label}", value, "%", None, None, *interval))
    return figures


def main_figures(found: Found) -> list[Figure]:
    figures = []
    for rival, (positive, negative) in RIVALS.items():
        wins = {
            name: sum(
                of(part["ConceptLab"]).mean().item() > of(part[rival]).mean().item()
                for part in found.values()
            )
            for name, of in (("positive", positives), ("distance", distance))
        }
        figures += [
            at_least(
                f"categories of 5 in which ConceptLab's positive similarity beats a {rival}",
                wins["positive"],
                "",
                positive,
            ),
            at_least(
                f"categories of 5 in which ConceptLab's negative distance beats a {rival}",
                wins["distance"],
                "",
                negative,
            ),
        ]
    valid, i1 = everywhere(found, "ConceptLab", "valid")
    match, i2 = everywhere(found, "ConceptLab", "same")
    near, i4 = everywhere(found, "ConceptLab", "match")
    agree, i3 = bootstrap(
        100 * torch.cat([agreement(part["one thing"]) for part in found.values()])
    )
    distinct = []
    for part in found.values():
        own = forms(part["one thing"], part["structural"])
        size = len(own) // SETTINGS
        distinct += [len(set(own[i : i + size])) for i in range(0, len(own), size)]
    figures += [
        at_least("two manual negatives: valid", valid, "%", 85, i1),
        at_least(
            "two manual negatives: in the form of none of the negatives",
            100 - match,
            "%",
            90,
            (100 - i2[1], 100 - i2[0]),
        ),
        Figure(
            "two manual negatives: more than one part from the negatives",
            100 - near,
            "%",
            None,
            None,
            100 - i4[1],
            100 - i4[0],
        ),
        at_least("two manual negatives: factors agree with their mode", agree, "%", 80, i3),
        at_least(
            "two manual negatives: distinct forms among 5 seeds, mean of 15 settings",
            sum(distinct) / len(distinct),
            "",
            3,
        ),
        Figure(
            "two manual negatives: settings of 15 with at least 3 distinct forms",
            sum(d >= 3 for d in distinct),
            "",
        ),
        at_most(
            "learning 75 concepts, one run on each of 2 cores",
            sum(part["seconds"] for part in found.values()) / 120,
            "min",
            20,
        ),
        at_most(
            "drawing 2400 pictures, one run on each of 2 cores",
            sum(part["drawing"] for part in found.values()) / 120,
            "min",
            15,
        ),
    ]
    for way in WAYS:
        for of, label in ((positives, "positive similarity"), (distance, "negative distance")):
            mean, interval = bootstrap(torch.cat([of(part[way]) for part in found.values()]))
            figures.append(Figure(f"{way}: {label}", mean, "cosine", None, None, *interval))
        for name, label in (
            ("same", "in the form of a negative"),
            ("match", "in it or one part from it"),
        ):
            value, interval = everywhere(found, way, name)
            figures.append(Figure(f"{way}: {label}", value, "%", None, None, *interval))
        figures += said(found, way)
    for category, part in found.items():
        for way in WAYS[:3]:
            for label, groups in (
                ("positive similarity", per_group(part[way], "positive")),
                ("negative distance", distance(part[way])),
            ):
                mean, interval = bootstrap(groups)
                figures.append(
                    Figure(f"{category}, {way}: {label}", mean, "cosine", None, None, *interval)
                )
    return figures


def adaptive_figures(found: Found) -> list[Figure]:
    figures = []
    for way in ("settled", "as learned"):
        valid, i1 = everywhere(found, way, "valid")
        form, i2 = everywhere(found, way, "form")
        match, i3 = everywhere(found, way, "match")
        same, i4 = everywhere(found, way, "same")
        agree, i5 = bootstrap(
            100 * torch.cat([agreement(part[way]["one thing"]) for part in found.values()])
        )
        distinct = [
            len(set(forms(part[way]["one thing"], part["structural"]))) for part in found.values()
        ]
        title = f"adaptive, {way}"
        bars = way == "settled"
        values = [
            ("valid", valid, 85, i1),
            ("novel in form", form, 50, i2),
            ("in the form of none of the negatives", 100 - same, 90, (100 - i4[1], 100 - i4[0])),
            ("factors agree with their mode", agree, 80, i5),
        ]
        for label, value, bar, interval in values:
            figures.append(
                at_least(f"{title}: {label}", value, "%", bar, interval)
                if bars
                else Figure(f"{title}: {label}", value, "%", None, None, *interval)
            )
        figures.append(
            Figure(
                f"{title}: more than one part from the negatives",
                100 - match,
                "%",
                None,
                None,
                100 - i3[1],
                100 - i3[0],
            )
        )
        both, i6 = everywhere(found, way, "both")
        figures.append(Figure(f"{title}: valid and novel in form", both, "%", None, None, *i6))
        worst = min(distinct)
        name = f"{title}: distinct forms among 5 seeds, worst category"
        figures.append(at_least(name, worst, "", 3) if bars else Figure(name, worst, ""))
    for name, label in (("form", "novel in form"), ("valid", "valid")):
        value, interval = everywhere(found, "described", name)
        figures.append(Figure(f"described in words: {label}", value, "%", None, None, *interval))
    parts = list(found.values())
    kept = torch.cat([likeness(part) for part in parts])
    value, interval = bootstrap(100 * kept)
    figures.append(
        Figure("described in words: factors as in the concept", value, "%", None, None, *interval)
    )
    count = [len(words) for part in parts for words in part["negatives"]]
    verdicts = [row[3] for part in parts for row in part["history"]]
    fell = torch.cat([falls(part) for part in parts])
    figures += [
        Figure("the loop: negatives found for a concept", sum(count) / len(count), ""),
        Figure(
            "the loop: answers that were added", 100 * verdicts.count("added") / len(verdicts), "%"
        ),
        Figure(
            "the loop: added negatives that the concept is less like 40 steps later",
            *share_of(fell),
        ),
        Figure(
            "the loop: steps until nothing new was found, or the most allowed",
            sum(part["steps"] for part in parts) / len(parts),
            "",
        ),
        *(
            Figure(
                f"the loop: {name}, seconds a concept",
                sum(part["seconds"][name] for part in parts) / len(count),
                "s",
            )
            for name in ("learning", "asking", "settling")
        ),
    ]
    return figures


def share_of(hits: Tensor) -> tuple[float, str]:
    return 100 * hits.double().mean().item(), "%"


def likeness(part: dict[str, Any]) -> Tensor:
    """For each concept how often a factor of its description's pictures has the concept's commonest value."""
    modes = torch.tensor(part["settled"]["factors"]).mode(1).values
    return (torch.tensor(part["described"]["factors"]) == modes[:, None]).double().mean((1, 2))


def falls(part: dict[str, Any]) -> Tensor:
    """For each added species whether the concept was less like it 40 steps later."""
    steps = torch.tensor([row["step"] for row in part["curves"]])
    curves = torch.tensor([row["similarity"] for row in part["curves"]])
    hits = []
    for step, concept, word, verdict in part["history"]:
        if verdict == "added" and word in part["species"] and step + 40 <= steps[-1]:
            before, after = ((steps - at).abs().argmin() for at in (step, step + 40))
            own = curves[:, concept, part["species"].index(word)]
            hits.append(own[after] < own[before])
    return torch.stack(hits)


def ablation_figures(found: Found) -> list[Figure]:
    figures = []
    for way in (name for name in next(iter(found.values())) if name != "structural"):
        groups = torch.cat([distance(part[way]) for part in found.values()])
        mean, interval = bootstrap(groups)
        agree, i2 = bootstrap(
            100 * torch.cat([agreement(part[way]["one thing"]) for part in found.values()])
        )
        match, i3 = everywhere(found, way, "match")
        figures += [
            *said(found, way),
            Figure(f"{way}: a negative, or one part from it", match, "%", None, None, *i3),
            Figure(f"{way}: negative distance", mean, "cosine", None, None, *interval),
            Figure(f"{way}: factors agree with their mode", agree, "%", None, None, *i2),
            Figure(
                f"{way}: seconds a concept",
                sum(part[way]["seconds"] for part in found.values()) / (2 * len(found)),
                "s",
            ),
        ]
    return figures


def weight_figures(found: Found) -> list[Figure]:
    figures = []
    for weight in map(str, WEIGHTS):
        renamed = {name: {f"lambda {weight}": part[weight]} for name, part in found.items()}
        for key, label in (
            ("positive", "positive similarity"),
            ("largest", "largest negative similarity"),
        ):
            value, interval = everywhere(renamed, f"lambda {weight}", key, 1.0)
            figures.append(
                Figure(f"lambda {weight}: {label}", value, "cosine", None, None, *interval)
            )
        figures += said(renamed, f"lambda {weight}")
    return figures


def mix_figures(found: Found) -> list[Figure]:
    groups = {
        name: torch.cat([torch.tensor(part[name]).double().mean(1) for part in found.values()])
        for name in ("carried", "valid")
    }
    (carried, i1), (valid, i2) = (bootstrap(100 * values) for values in groups.values())
    return [
        at_least(
            "mixes: with something of every parent that the other lacks", carried, "%", 70, i1
        ),
        Figure("mixes: valid", valid, "%", None, None, *i2),
    ]


FIGURES: dict[str, Callable[[Found], list[Figure]]] = {
    "main": main_figures,
    "adaptive": adaptive_figures,
    "ablation": ablation_figures,
    "weight": weight_figures,
    "mix": mix_figures,
}

"""Summaries of benchmarks.conceptlab.runs: one function for each part makes figures of its rows."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from benchmarks.figures import Figure, at_least, at_most, bootstrap
from benchmarks.judges import Found

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SETTINGS = 3  # pairs of negatives
METHODS = (
    "ConceptLab",
    "negative prompt, prior",
    "negative prompt, decoder",
    "no negatives",
    "random parts",
)
# In how many of 5 categories ConceptLab wins in the paper: by positive similarity, by distance.
RIVALS = {
    "negative prompt, prior": (5, 4),
    "negative prompt, decoder": (5, 5),
}
VALIDITY = (
    ("valid", "valid"),
    ("form", "novel in form"),
    ("both", "valid and novel in form"),
)


def per_group(rows: dict[str, Any], name: str) -> Tensor:
    """Average a column over the pictures of each concept, or chunk of pictures."""
    return torch.tensor(rows[name]).double().mean(1)


def positives(rows: dict[str, Any]) -> Tensor:
    """Average the similarity to the category over each group."""
    return per_group(rows, "positive")


def distance(rows: dict[str, Any]) -> Tensor:
    """Subtract the largest negative similarity from the positive one, for each group."""
    return per_group(rows, "positive") - per_group(rows, "largest")


def agreement(thing: dict[str, Any]) -> Tensor:
    """Measure how far the pictures of each concept show the same thing.

    It is the share of pictures in which a visible factor has its commonest value, averaged over
    factors.
    """
    factors = torch.tensor(thing["factors"])
    visible = torch.tensor(thing["visible"])
    result = []
    for values, shown in zip(factors, visible, strict=True):
        shares = []
        for j in range(values.shape[1]):
            if shown[:, j].any():
                column = values[shown[:, j], j]
                shares.append((column == column.mode().values).double().mean())
        result.append(torch.stack(shares).mean())
    return torch.stack(result)


def forms(thing: dict[str, Any], structural: list[bool]) -> list[tuple[int, ...]]:
    """List the commonest value of every structural factor, for each concept."""
    modes = [torch.tensor(values).mode(0).values.tolist() for values in thing["factors"]]
    return [tuple(v for v, s in zip(mode, structural, strict=True) if s) for mode in modes]


def nested(by_category: Iterable[Tensor]) -> tuple[float, tuple[float, float]]:
    """Average over the concepts of all categories, with an interval over both.

    There is a tensor for each category, with a number for each of its concepts.
    """
    values = list(by_category)
    categories = [i for i, own in enumerate(values) for _ in own]
    return bootstrap(torch.cat(values), groups=categories)


def everywhere(
    found: Found, variant: str, name: str, scale: float = 100.0
) -> tuple[float, tuple[float, float]]:
    """Average a column over the concepts of all categories, with its interval."""
    mean, (low, high) = nested(per_group(part[variant], name) for part in found.values())
    return scale * mean, (scale * low, scale * high)


def mean_agreement(found: Found, variant: str) -> tuple[float, tuple[float, float]]:
    """Average the agreement over the concepts of all categories, in percent."""
    return nested(100 * agreement(part[variant]["one thing"]) for part in found.values())


def inverted(interval: tuple[float, float]) -> tuple[float, float]:
    """Turn the interval of a percentage into that of its complement."""
    return 100 - interval[1], 100 - interval[0]


def percent(name: str, value: float, interval: tuple[float, float]) -> Figure:
    """Make a figure of a percentage with its interval."""
    return Figure(name, value, "%", low=interval[0], high=interval[1])


def cosine(name: str, value: float, interval: tuple[float, float]) -> Figure:
    """Make a figure of a cosine with its interval."""
    return Figure(name, value, "cosine", low=interval[0], high=interval[1])


def validity(found: Found, variant: str) -> list[Figure]:
    """Make figures of the shares of valid and of novel pictures."""
    return [
        percent(f"{variant}: {label}", *everywhere(found, variant, name))
        for name, label in VALIDITY
    ]


def main_figures(found: Found) -> list[Figure]:
    """Compare concepts with two manual negatives with their rivals."""
    parts = list(found.values())
    figures = []
    for rival, (positive, negative) in RIVALS.items():
        for label, score, bar in (
            ("positive similarity", positives, positive),
            ("negative distance", distance, negative),
        ):
            wins = sum(
                score(part["ConceptLab"]).mean().item() > score(part[rival]).mean().item()
                for part in parts
            )
            title = f"categories of 5 in which ConceptLab's {label} beats a {rival}"
            figures.append(at_least(title, wins, "", bar=bar))
    figures += manual_figures(found)
    for method in METHODS:
        for score, label in (
            (positives, "positive similarity"),
            (distance, "negative distance"),
        ):
            value, interval = nested(score(part[method]) for part in parts)
            figures.append(cosine(f"{method}: {label}", value, interval))
        for name, label in (
            ("same", "in the form of a negative"),
            ("match", "in it or one part from it"),
        ):
            value, interval = everywhere(found, method, name)
            figures.append(percent(f"{method}: {label}", value, interval))
        figures += validity(found, method)
    for category, part in found.items():
        for method in METHODS[:3]:
            for score, label in (
                (positives, "positive similarity"),
                (distance, "negative distance"),
            ):
                value, interval = bootstrap(score(part[method]))
                figures.append(cosine(f"{category}, {method}: {label}", value, interval))
    return figures


def manual_figures(found: Found) -> list[Figure]:
    """Summarize concepts with two manual negatives: validity, likeness, forms and minutes."""
    parts = list(found.values())
    valid, valid_interval = everywhere(found, "ConceptLab", "valid")
    same, same_interval = everywhere(found, "ConceptLab", "same")
    match, match_interval = everywhere(found, "ConceptLab", "match")
    agree, agree_interval = nested(100 * agreement(part["one thing"]) for part in parts)
    distinct = []
    for part in parts:
        shown = forms(part["one thing"], part["structural"])
        size = len(shown) // SETTINGS
        distinct += [len(set(shown[i : i + size])) for i in range(0, len(shown), size)]
    return [
        at_least("two manual negatives: valid", valid, "%", bar=85, interval=valid_interval),
        at_least(
            "two manual negatives: in the form of none of the negatives",
            100 - same,
            "%",
            bar=90,
            interval=inverted(same_interval),
        ),
        percent(
            "two manual negatives: more than one part from the negatives",
            100 - match,
            inverted(match_interval),
        ),
        at_least(
            "two manual negatives: factors agree with their mode",
            agree,
            "%",
            bar=80,
            interval=agree_interval,
        ),
        at_least(
            "two manual negatives: distinct forms among 5 seeds, mean of 15 settings",
            sum(distinct) / len(distinct),
            "",
            bar=3,
        ),
        Figure(
            "two manual negatives: settings of 15 with at least 3 distinct forms",
            sum(d >= 3 for d in distinct),
            "",
        ),
        at_most(
            "learning 75 concepts, one run on each of 2 cores",
            sum(part["seconds"] for part in parts) / 120,
            "min",
            bar=20,
        ),
        at_most(
            "drawing 2400 pictures, one run on each of 2 cores",
            sum(part["drawing"] for part in parts) / 120,
            "min",
            bar=15,
        ),
    ]


def adaptive_figures(found: Found) -> list[Figure]:
    """Summarize concepts with adaptive negatives, their descriptions, and the loop itself."""
    figures = [*state_figures(found, "settled"), *state_figures(found, "as learned")]
    for name, label in (("form", "novel in form"), ("valid", "valid")):
        value, interval = everywhere(found, "described", name)
        figures.append(percent(f"described in words: {label}", value, interval))
    parts = list(found.values())
    value, interval = nested(100 * likeness(part) for part in parts)
    figures.append(percent("described in words: factors as in the concept", value, interval))
    counts = [len(words) for part in parts for words in part["negatives"]]
    verdicts = [row[3] for part in parts for row in part["history"]]
    fell = torch.cat([falls(part) for part in parts])
    figures += [
        Figure("the loop: negatives found for a concept", sum(counts) / len(counts), ""),
        Figure(
            "the loop: answers that were added", 100 * verdicts.count("added") / len(verdicts), "%"
        ),
        Figure(
            "the loop: added negatives that the concept is less like 40 steps later",
            100 * fell.double().mean().item(),
            "%",
        ),
        Figure(
            "the loop: steps until nothing new was found, or the most allowed",
            sum(part["steps"] for part in parts) / len(parts),
            "",
        ),
    ]
    for name in ("learning", "asking", "settling"):
        seconds = sum(part["seconds"][name] for part in parts) / len(counts)
        figures.append(Figure(f"the loop: {name}, seconds a concept", seconds, "s"))
    return figures


def state_figures(found: Found, state: str) -> list[Figure]:
    """Summarize concepts as learned or settled; only those settled have bars."""
    valid, valid_interval = everywhere(found, state, "valid")
    form, form_interval = everywhere(found, state, "form")
    match, match_interval = everywhere(found, state, "match")
    same, same_interval = everywhere(found, state, "same")
    agree, agree_interval = mean_agreement(found, state)
    both, both_interval = everywhere(found, state, "both")
    distinct = [
        len(set(forms(part[state]["one thing"], part["structural"]))) for part in found.values()
    ]
    title = f"adaptive, {state}"
    with_bars = state == "settled"
    figures = []
    for label, value, bar, interval in (
        ("valid", valid, 85, valid_interval),
        ("novel in form", form, 50, form_interval),
        ("in the form of none of the negatives", 100 - same, 90, inverted(same_interval)),
        ("factors agree with their mode", agree, 80, agree_interval),
    ):
        name = f"{title}: {label}"
        if with_bars:
            figures.append(at_least(name, value, "%", bar=bar, interval=interval))
        else:
            figures.append(percent(name, value, interval))
    figures += [
        percent(
            f"{title}: more than one part from the negatives",
            100 - match,
            inverted(match_interval),
        ),
        percent(f"{title}: valid and novel in form", both, both_interval),
    ]
    worst = min(distinct)
    name = f"{title}: distinct forms among 5 seeds, worst category"
    figures.append(at_least(name, worst, "", bar=3) if with_bars else Figure(name, worst, ""))
    return figures


def likeness(part: dict[str, Any]) -> Tensor:
    """Compare the pictures of each concept's description with the concept.

    It is the share of factors that have the concept's commonest value.
    """
    modes = torch.tensor(part["settled"]["factors"]).mode(1).values
    return (torch.tensor(part["described"]["factors"]) == modes[:, None]).double().mean((1, 2))


def falls(part: dict[str, Any]) -> Tensor:
    """Say of each added species whether the concept was less like it 40 steps later."""
    steps = torch.tensor([row["step"] for row in part["curves"]])
    curves = torch.tensor([row["similarity"] for row in part["curves"]])
    hits = []
    for step, concept, word, verdict in part["history"]:
        if verdict == "added" and word in part["species"] and step + 40 <= steps[-1]:
            before, after = ((steps - at).abs().argmin() for at in (step, step + 40))
            curve = curves[:, concept, part["species"].index(word)]
            hits.append(curve[after] < curve[before])
    return torch.stack(hits)


def ablation_figures(found: Found) -> list[Figure]:
    """Summarize each variant of the loss and each space."""
    parts = list(found.values())
    figures = []
    for variant in (name for name in parts[0] if name != "structural"):
        apart, apart_interval = nested(distance(part[variant]) for part in parts)
        agree, agree_interval = mean_agreement(found, variant)
        match, match_interval = everywhere(found, variant, "match")
        seconds = sum(part[variant]["seconds"] for part in parts) / (2 * len(parts))
        figures += [
            *validity(found, variant),
            percent(f"{variant}: a negative, or one part from it", match, match_interval),
            cosine(f"{variant}: negative distance", apart, apart_interval),
            percent(f"{variant}: factors agree with their mode", agree, agree_interval),
            Figure(f"{variant}: seconds a concept", seconds, "s"),
        ]
    return figures


def weight_figures(found: Found) -> list[Figure]:
    """Summarize each lambda."""
    figures = []
    for weight in map(str, WEIGHTS):
        title = f"lambda {weight}"
        renamed = {name: {title: part[weight]} for name, part in found.items()}
        for key, label in (
            ("positive", "positive similarity"),
            ("largest", "largest negative similarity"),
        ):
            value, interval = everywhere(renamed, title, key, scale=1.0)
            figures.append(cosine(f"{title}: {label}", value, interval))
        figures += validity(renamed, title)
    return figures


def mix_figures(found: Found) -> list[Figure]:
    """Summarize mixtures: what they carry of their parents, and validity."""

    def percentage(name: str) -> tuple[float, tuple[float, float]]:
        return nested(100 * torch.tensor(part[name]).double().mean(1) for part in found.values())

    share, share_interval = percentage("carried")
    valid_share, valid_interval = percentage("valid")
    return [
        at_least(
            "mixes: with something of every parent that the other lacks",
            share,
            "%",
            bar=70,
            interval=share_interval,
        ),
        percent("mixes: valid", valid_share, valid_interval),
    ]


FIGURES: dict[str, Callable[[Found], list[Figure]]] = {
    "main": main_figures,
    "adaptive": adaptive_figures,
    "ablation": ablation_figures,
    "weight": weight_figures,
    "mix": mix_figures,
}

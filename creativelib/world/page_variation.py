"""Whether variations of a page's pictures keep what the page shares and vary what it does not, read by the oracle."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import category, styles
from .oracle import Oracle
from .webpages import Page

LEAST = 0.3  # nats: below it, a free factor hardly varies on the page itself


@dataclass(frozen=True)
class Variation:
    """kept: for each factor that the page shares, the share of pictures that show the page's value. entropy: for each that it leaves free,
    the entropy in nats of the values that the pictures show. Factors of the style are called "style: ink" and so on."""

    kept: dict[str, float]
    entropy: dict[str, float]


def entropy(values: Int[Tensor, " n"]) -> float:
    """Of the values' frequencies, in nats. Few values make it smaller than that of what they are drawn from: compare equal numbers."""
    share = values.unique(return_counts=True)[1] / len(values)
    return -(share * share.log()).sum().item()


def variation(pictures: Float[Tensor, "n 3 h w"], page: Page, oracle: Oracle) -> Variation:
    """Read n pictures that are meant to stand on a page. Colour is left out where the style hides it in half of the pictures or more."""
    kind = category(page.shared.category)
    reading = oracle.read(pictures, kind.name)
    style = torch.stack([part.argmax(1) for part in reading.style], 1)
    colored = styles.color_visible(style)
    kept = {}
    free = {}
    for i, factor in enumerate(kind.factors):
        seen = reading.factors[:, i].argmax(1)
        if factor.name == kind.factors[-1].name:  # colour is every category's last factor
            if colored.float().mean() <= 0.5:
                continue
            seen = seen[colored]
        if factor.name in page.shared.values:
            kept[factor.name] = (
                (seen == list(factor.values).index(page.shared.values[factor.name]))
                .float()
                .mean()
                .item()
            )
        else:
            free[factor.name] = entropy(seen)
    for i, name in enumerate(styles.FACTORS):
        if page.same_style:
            kept[f"style: {name}"] = (style[:, i] == page.scenes.style[0, i]).float().mean().item()
        else:
            free[f"style: {name}"] = entropy(style[:, i])
    return Variation(kept, free)


@dataclass(frozen=True)
class Balance:
    """kept: the share of what pages share that pictures show, in [0, 1]. entropy: of what pages leave free, as a share of the entropy that
    the pages' own pictures have there; it can be larger than 1."""

    kept: float
    entropy: float


def tally(drawn: Sequence[Variation], own: Sequence[Variation]) -> Float[Tensor, "p 4"]:
    """What `balance` sums up, page by page, so that pages can be drawn anew for an interval: shares kept and their number, the entropy of
    what the page's own pictures vary, and theirs. `own` are as many pictures of the pages as were drawn."""
    rows = []
    for mine, true in zip(drawn, own, strict=True):
        free = [
            name for name, value in true.entropy.items() if value > LEAST and name in mine.entropy
        ]
        rows.append(
            [
                sum(mine.kept.values()),
                len(mine.kept),
                sum(mine.entropy[name] for name in free),
                sum(true.entropy[name] for name in free),
            ]
        )
    return torch.tensor(rows)


def balance(table: Float[Tensor, "p 4"]) -> Balance:
    """Over all pages of `tally`."""
    kept, shared, entropy, of = table.sum(0).tolist()
    return Balance(kept / shared, entropy / of)

"""How well variations of a page's pictures keep the facts that the page shares and vary the rest.

The oracle reads the pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import category, styles
from .oracle import Oracle
from .webpages import Page

# In nats. A free factor with less entropy hardly varies on the page itself, so it does not count.
LEAST = 0.3


@dataclass(frozen=True)
class Variation:
    """Agreement and variety of some pictures of one page, by factor.

    Factors of the style are called "style: ink" and so on.
    """

    # For each factor that the page shares, the share of pictures that show the page's value.
    kept: dict[str, float]
    # For each factor that the page leaves free, the entropy in nats of the pictures' values.
    entropy: dict[str, float]


def entropy(values: Int[Tensor, " n"]) -> float:
    """Compute the entropy of the values' frequencies, in nats.

    It falls below the entropy of the distribution behind the values, the more so the fewer they
    are. So compare equal numbers of values.
    """
    share = values.unique(return_counts=True)[1] / len(values)
    return -(share * share.log()).sum().item()


def variation(pictures: Float[Tensor, "n 3 h w"], page: Page, oracle: Oracle) -> Variation:
    """Read n pictures that are meant to stand on a page.

    The color does not count if the style hides it in half of the pictures or more.
    """
    kind = category(page.shared.category)
    reading = oracle.read(pictures, kind.name)
    style = torch.stack([part.argmax(1) for part in reading.style], 1)
    colored = styles.color_visible(style)
    kept = {}
    free = {}
    for i, factor in enumerate(kind.factors):
        values = reading.factors[:, i].argmax(1)
        if factor.name == kind.factors[-1].name:  # the color is every category's last factor
            if colored.float().mean() <= 0.5:
                continue
            values = values[colored]
        if factor.name in page.shared.values:
            shared = list(factor.values).index(page.shared.values[factor.name])
            kept[factor.name] = (values == shared).float().mean().item()
        else:
            free[factor.name] = entropy(values)
    for i, name in enumerate(styles.FACTORS):
        if page.same_style:
            kept[f"style: {name}"] = (style[:, i] == page.scenes.style[0, i]).float().mean().item()
        else:
            free[f"style: {name}"] = entropy(style[:, i])
    return Variation(kept=kept, entropy=free)


@dataclass(frozen=True)
class Balance:
    """Agreement and variety over all pages."""

    # Mean share of pictures that show a value that their page shares, in [0, 1].
    kept: float
    # Entropy of the free factors, divided by that of the pages' own pictures. It can exceed 1.
    entropy: float


def tally(drawn: Sequence[Variation], own: Sequence[Variation]) -> Float[Tensor, "p 4"]:
    """Tabulate the terms that `balance` sums, one row a page.

    An interval can resample the rows. The columns are the sum of the kept shares, their number, the
    entropy of the drawn pictures in the factors that vary on the page itself (`LEAST`), and the
    entropy of the page's own pictures there. `own` must read as many pictures of each page as
    `drawn`.
    """
    rows = []
    for sample, reference in zip(drawn, own, strict=True):
        free = [
            name
            for name, value in reference.entropy.items()
            if value > LEAST and name in sample.entropy
        ]
        rows.append(
            [
                sum(sample.kept.values()),
                len(sample.kept),
                sum(sample.entropy[name] for name in free),
                sum(reference.entropy[name] for name in free),
            ]
        )
    return torch.tensor(rows)


def balance(table: Float[Tensor, "p 4"]) -> Balance:
    """Sum the table of `tally` over all pages."""
    kept, shared, entropy, own_entropy = table.sum(0).tolist()
    return Balance(kept=kept / shared, entropy=entropy / own_entropy)

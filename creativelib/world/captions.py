"""Captions for pictures, and what a caption says about the factors."""

import random
from collections.abc import Mapping, Sequence

from ..english import article
from . import styles
from .distribution import Given
from .factors import COLORS
from .plan import Category

# Shares of the ways to name a picture's subject. A wild picture is named by its category alone only as often as the truth
# has wild pictures (see `bare_wild`); else CLIP would learn that "a pet" means a hybrid.
SPECIES = 0.50
SPECIES_AND_PARTS = 0.08
BARE = 0.15
PARTS = 0.27


def bare_wild(wild: float, truth: float = 0.03) -> float:
    """The share of bare captions among wild pictures that makes wild pictures `truth` of all bare ones, when `wild` of all
    pictures are wild."""
    return BARE * truth / (1 - truth) * (1 - wild) / wild


def subject(
    category: Category,
    values: Mapping[str, str],
    species: str | None,
    parts: Sequence[str],
    color: bool,
    pattern: bool,
) -> str:
    """ "orange striped cat with long ears and a bushy tail": what a caption says is on the picture."""
    words = [values["color"]] if color else []
    words += [category.factor("pattern").values[values["pattern"]]] if pattern else []
    words.append(species or category.name)
    phrases = [category.factor(name).values[values[name]] for name in parts]
    return " ".join(words) + (" with " + " and ".join(phrases) if phrases else "")


def caption(
    category: Category,
    values: Mapping[str, str],
    species: str | None,
    style: str | None,
    color_visible: bool,
    rng: random.Random,
    bare_if_wild: float = BARE,
) -> str:
    """A random caption for a picture. `species` None: a wild picture; `style` None: an unnamed style."""
    structural = [f.name for f in category.factors if f.structural]
    if species is None:
        kind = "bare" if rng.random() < bare_if_wild else "parts"
    else:
        kind = rng.choices(
            ["species", "species and parts", "bare", "parts"],
            [SPECIES, SPECIES_AND_PARTS, BARE, PARTS],
        )[0]
    parts = (
        rng.sample(structural, rng.randint(1, min(4, len(structural)))) if "parts" in kind else []
    )
    text = subject(
        category,
        values,
        species if kind.startswith("species") else None,
        parts,
        color=color_visible and rng.random() < 0.4,
        pattern=rng.random() < 0.15,
    )
    form = rng.random()
    if style is None or form < 0.12:
        return rng.choice([article(text), text, f"a picture of {article(text)}"])
    return f"{style} of {article(text)}" if form < 0.2 else f"{article(style)} of {article(text)}"


def words(categories: Sequence[Category]) -> list[str]:
    """Every word a caption can hold, sorted."""
    text = ["a an of with and picture the in style image", *styles.NAMES, *COLORS]
    for category in categories:
        text += [category.name, *category.species]
        text += [phrase for factor in category.factors for phrase in factor.values.values()]
    return sorted(set(" ".join(text).split()))


def parse(text: str, categories: Sequence[Category]) -> Given:
    """What a caption says. Raises ValueError if it names no category or species."""
    padded = f" {text.lower()} "
    style = next((name for name in styles.NAMES if f" {name} of " in padded), None)
    rest = padded.split(f" {style} of ", 1)[1] if style else padded
    head, _, tail = f" {rest.strip()} ".partition(" with ")
    for category in categories:
        species = next((name for name in category.species if f" {name} " in head + " "), None)
        if species is None and f" {category.name} " not in head + " ":
            continue
        values = {}
        phrases = [phrase.strip() for phrase in tail.split(" and ")] if tail else []
        for factor in category.factors:
            said = phrases if factor.structural else head.split()
            values.update(
                (factor.name, value) for value, phrase in factor.values.items() if phrase in said
            )
        return Given(category.name, species, values, style)
    names = [name for c in categories for name in (c.name, *c.species)]
    raise ValueError(f"text {text!r} names nothing of the world; expected {', '.join(names)}")

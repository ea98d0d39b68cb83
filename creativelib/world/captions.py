"""Captions for pictures, and the facts that a caption states."""

import random
from collections.abc import Mapping, Sequence

from ..english import article
from ..errors import InputError, shown
from . import styles
from .distribution import Given
from .factors import COLORS
from .plan import Category

# Shares of the kinds of captions by how they name a picture's subject. Among captions with the
# bare category, wild pictures are as rare as in the truth (see `bare_wild`). Otherwise CLIP would
# learn that "a pet" means a hybrid.
SPECIES = 0.50
SPECIES_AND_PARTS = 0.08
BARE = 0.15
PARTS = 0.27


def bare_wild(wild: float, truth: float = 0.03) -> float:
    """Compute the share of wild pictures that get a bare caption.

    With this share, a fraction `truth` of all bare captions belongs to wild pictures when a
    fraction `wild` of all pictures is wild.
    """
    return BARE * truth / (1 - truth) * (1 - wild) / wild


def subject(
    category: Category,
    values: Mapping[str, str],
    species: str | None,
    parts: Sequence[str],
    color: bool,
    pattern: bool,
) -> str:
    """Compose the subject of a caption.

    An example is "orange striped cat with long ears and a bushy tail". `parts` names the factors
    that follow "with"; `color` and `pattern` say whether these stand before the noun. The noun is
    the species, or the category if `species` is None.
    """
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
    """Draw a random caption for a picture.

    `species` is None for a wild picture and `style` is None for an unnamed style. `bare_if_wild`
    is the share of wild pictures that get a bare caption (see `bare_wild`).
    """
    structural = [f.name for f in category.factors if f.structural]
    if species is None:
        kind = "bare" if rng.random() < bare_if_wild else "parts"
    else:
        kind = rng.choices(
            ["species", "species and parts", "bare", "parts"],
            [SPECIES, SPECIES_AND_PARTS, BARE, PARTS],
        )[0]
    parts = []
    if "parts" in kind:
        parts = rng.sample(structural, rng.randint(1, min(4, len(structural))))
    text = subject(
        category=category,
        values=values,
        species=species if kind.startswith("species") else None,
        parts=parts,
        color=color_visible and rng.random() < 0.4,
        pattern=rng.random() < 0.15,
    )
    form = rng.random()
    if style is None or form < 0.12:
        return rng.choice([article(text), text, f"a picture of {article(text)}"])
    return f"{style} of {article(text)}" if form < 0.2 else f"{article(style)} of {article(text)}"


def words(categories: Sequence[Category]) -> list[str]:
    """List every word that a caption can hold, sorted."""
    text = ["a an of with and picture the in style image", *styles.NAMES, *COLORS]
    for category in categories:
        text += [category.name, *category.species]
        text += [phrase for factor in category.factors for phrase in factor.values.values()]
    return sorted(set(" ".join(text).split()))


def parse(text: str, categories: Sequence[Category]) -> Given:
    """Read the facts that a caption states.

    Raises InputError if the caption names no category or species.
    """
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
            stated = phrases if factor.structural else head.split()
            values.update(
                (factor.name, value) for value, phrase in factor.values.items() if phrase in stated
            )
        return Given(category=category.name, species=species, values=values, style=style)
    names = [name for c in categories for name in (c.name, *c.species)]
    raise InputError(
        f"text {shown(text)} names nothing in the Menagerie; expected one of {', '.join(names)}"
    )

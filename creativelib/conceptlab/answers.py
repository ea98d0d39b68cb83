"""What a VQA model says, made fit to be a constraint: ConceptLab's adaptive negatives (arXiv 2308.02669, section 4.2) without their traps.

The released code drops a leading "a " and takes the rest. So "Dogs." comes beside "dog", "pet" is forbidden to a pet, and the name of an
airplane's model, which pulls at nothing, is taken for a constraint.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..english import singular
from ..unclip.pipeline import Pipeline

ADDED = "added"
EMPTY = "empty"
ITSELF = "the category itself"
KNOWN = "known already"
WEAK = "too weak to constrain"
LONG = "too long for the text encoder"


@dataclass(frozen=True)
class Answer:
    """What was said of one concept's pictures at a step, the word that became of it, its mean cosine to the pictures' embeddings, and
    whether it was added to the negatives, or why not."""

    step: int
    concept: int
    said: str
    word: str
    similarity: float
    verdict: str


def normalize_answer(said: str, pipe: Pipeline) -> str:
    """An answer in lower case, singular, without article and punctuation. The plural stays where it is the form that the model knows."""
    text = " ".join(re.findall(r"[^\W_]+(?:['-][^\W_]+)*", said.lower()))
    text = re.sub(r"^(?:(?:a|an|the|some|it|is|this)\s+)+", "", text + " ").strip()
    single = singular(text)
    return text if pipe.unknown_words(single) and not pipe.unknown_words(text) else single


def fits_context(word: str, pipe: Pipeline, templates: Sequence[str]) -> bool:
    """Whether the text encoder takes the word in all templates."""
    most = pipe.tokenizer.model_max_length
    return all(
        len(pipe.tokenizer(template.format(word), verbose=False).input_ids) <= most
        for template in templates
    )


def verdict(
    word: str, similarity: float, category: str, known: tuple[str, ...], floor: float
) -> str:
    """Whether a word is added to a concept's `known` negatives, or why not.

    One whose cosine to what it is meant to name lies below the floor, from which on negatives count, would not pull: the name is too
    special for the model, the paper's own limitation (section 6).
    """
    if not word:
        return EMPTY
    if word in (category, singular(category)):
        return ITSELF
    if word in known:
        return KNOWN
    return ADDED if similarity > floor else WEAK

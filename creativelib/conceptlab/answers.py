"""From a VQA's answers to constraints: ConceptLab's adaptive negatives without their traps.

The released code (arXiv 2308.02669, section 4.2) drops a leading "a " and takes the rest. So
"Dogs." is added beside "dog", a pet is to be unlike "pet", and the name of an airplane's model,
which pulls at nothing, becomes a constraint.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..english import fill, singular
from ..unclip.pipeline import Pipeline

ADDED = "added"
EMPTY = "empty"
ITSELF = "the category itself"
KNOWN = "known already"
WEAK = "too weak to constrain"
LONG = "too long for the text encoder"


@dataclass(frozen=True)
class Answer:
    """One answer about one concept's pictures."""

    step: int
    # The concept's number.
    concept: int
    # The VQA's words.
    said: str
    # The normalized answer.
    word: str
    # Mean cosine of the word's text to the pictures' embeddings.
    similarity: float
    # ADDED to the negatives, or why not.
    verdict: str


def normalize_answer(said: str, pipe: Pipeline) -> str:
    """Put an answer into lower case and singular, without article and punctuation.

    The plural stays where it is the form that the model knows.
    """
    text = " ".join(re.findall(r"[^\W_]+(?:['-][^\W_]+)*", said.lower()))
    text = re.sub(r"^(?:(?:a|an|the|some|it|is|this)\s+)+", "", text + " ").strip()
    single = singular(text)
    return text if pipe.unknown_words(single) and not pipe.unknown_words(text) else single


def fits_context(word: str, pipe: Pipeline, templates: Sequence[str]) -> bool:
    """Return whether the text encoder takes the word in all templates."""
    limit = pipe.tokenizer.model_max_length
    prompts = [fill(template, word) for template in templates]
    return all(len(pipe.tokenizer(prompt, verbose=False).input_ids) <= limit for prompt in prompts)


def verdict(
    word: str, similarity: float, category: str, negatives: tuple[str, ...], floor: float
) -> str:
    """Decide whether a word is added to a concept's negatives, or why not.

    Negatives count from the floor up. A word whose cosine to what it should name lies below would
    not
    pull: the name is too special for the model, the paper's own limitation (section 6).
    """
    if not word:
        return EMPTY
    if word in (category, singular(category)):
        return ITSELF
    if word in negatives:
        return KNOWN
    return ADDED if similarity > floor else WEAK

"""Concepts of any kind: begun at a word, or read from a folder."""

from pathlib import Path

import torch

from ..errors import one_of
from ..unclip.pipeline import Pipeline
from .base import KINDS, Concept, read
from .embedding import EmbeddingConcept
from .lora import LoraConcept
from .token import TokenConcept


def init(
    pipe: Pipeline,
    kind: str,
    word: str,
    k: int = 1,
    generator: torch.Generator | None = None,
    template: str = "a photo of a {}",
) -> Concept:
    """Start k concepts of a kind at what the word means.

    Raises InputError for an unknown kind and as the kinds' own `init` do.
    """
    one_of("kind", kind, KINDS)
    match kind:
        case "lora":
            return LoraConcept.init(pipe, word, k, generator)
        case "embedding":
            return EmbeddingConcept.init(pipe, word, k, generator, template)
        case _:
            return TokenConcept.init(pipe, word, k, generator, kind)


def load(folder: str | Path, pipe: Pipeline) -> Concept:
    """Read concepts of any kind, ready for this pipeline's prompts.

    Raises InputError for a folder that holds no concept, or one of an unknown kind.
    """
    metadata, tensors = read(folder)
    word = metadata["word"]
    if metadata["kind"] == "lora":
        k = len(next(iter(tensors.values())))
        empty = LoraConcept.init(pipe, word, k, torch.Generator(), metadata["rank"])
        return empty.with_tensors(tensors)
    vectors = tensors["vectors"].to(pipe.device)
    if metadata["kind"] == "embedding":
        return EmbeddingConcept(word, vectors, metadata["scale"])
    return TokenConcept(word, vectors, metadata["scale"], metadata["kind"])

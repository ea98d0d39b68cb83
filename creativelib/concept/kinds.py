"""Concepts of any kind: begun at a word, or read from a folder."""

from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import InputError, one_of
from ..unclip.pipeline import Pipeline
from .base import KINDS, Concept, read
from .embedding import EmbeddingConcept
from .lora import LoraConcept, check_peft
from .token import TokenConcept


def check_kind(kind: str) -> None:
    """Raise InputError for an unknown kind, and for "lora" as `check_peft` does.

    Long work that ends in a new concept begins with this.
    """
    one_of("kind", kind, KINDS)
    if kind == "lora":
        check_peft()


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

    Raises InputError for a folder that holds no concept, one of an unknown kind, damaged files, or
    tensors of another model.
    """
    metadata, tensors = read(folder)
    word = metadata["word"]
    if metadata["kind"] == "lora":
        k = len(next(iter(tensors.values())))
        empty = LoraConcept.init(pipe, word, k, torch.Generator(), metadata.get("rank", 1))
        _check_shapes(folder, tensors, {name: value.shape for name, value in empty.factors.items()})
        return empty.with_tensors(tensors)
    width = pipe.token_table.shape[1]
    if metadata["kind"] == "embedding":
        width = pipe.prior.config.embedding_dim
    _check_shapes(folder, tensors, {"vectors": torch.Size([len(tensors["vectors"]), width])})
    vectors = tensors["vectors"].to(pipe.device)
    if metadata["kind"] == "embedding":
        return EmbeddingConcept(word, vectors, metadata["scale"])
    return TokenConcept(word, vectors, metadata["scale"], metadata["kind"])


def _check_shapes(
    folder: str | Path, tensors: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]
) -> None:
    """Raise InputError unless a concept's tensors have the names and shapes that a model's have."""
    for name in sorted({*tensors, *shapes}):
        found = tuple(tensors[name].shape) if name in tensors else None
        wanted = tuple(shapes[name]) if name in shapes else None
        if found != wanted:
            raise InputError(
                f"folder {str(folder)!r} holds a concept with {name[:60]} of shape {found}; this "
                f"model's is of shape {wanted}: expected a concept that was learned with it"
            )

"""The prior's inputs: tokenized texts, their encodings, adapters, and where sampling starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import check_fields, share
from .twins import twin


@dataclass(frozen=True, eq=False)
class Adapters:
    """Changes of the prior, one for each of k conditions."""

    # A prior that holds peft's adapters of these names.
    prior: Any
    names: tuple[str, ...]
    # The adapters' weights, by the names of the prior's parameters.
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class TextCondition:
    """k encoded texts. If `adapters` is set, text i conditions the prior through adapter i."""

    # CLIP's projected text embeddings.
    pooled: Float[Tensor, "k d"]
    # CLIP's last hidden states.
    tokens: Float[Tensor, "k l w"]
    # True at real tokens.
    mask: Bool[Tensor, "k l"]
    # Tokens of the longest text.
    used: int
    adapters: Adapters | None = None


@dataclass(frozen=True, eq=False)
class TokenIds:
    """k tokenized texts, padded to the text length."""

    ids: Int[Tensor, "k l"]
    # True at real tokens.
    mask: Bool[Tensor, "k l"]
    # Tokens of the longest text.
    used: int


@dataclass(frozen=True, eq=False)
class PartialStart:
    """Start sampling at noised embeddings instead of at pure noise (SDEdit, arXiv 2108.01073).

    Raises InputError for a strength out of range.
    """

    z: Float[Tensor, "#k #n d"]
    # Share of the steps that is left, in (0, 1]: how far samples may move away from z.
    strength: float = 0.6

    def __post_init__(self) -> None:
        check_fields(self, share, {"strength": ()})

    def first_step(self, steps: int) -> int:
        """Return the index of the first step that is taken."""
        return min(steps - 1, round((1 - self.strength) * steps))


def aligned(cond: TextCondition, other: TextCondition) -> tuple[TextCondition, TextCondition]:
    """Cut or pad two conditions to the longer text, and repeat a single `other` for each of k."""
    used = max(cond.used, other.used)
    k = len(cond.pooled)

    def cut(values: Tensor) -> Tensor:
        missing = max(0, used - values.shape[1])
        return pad(values[:, :used], (0, 0) * (values.ndim - 2) + (0, missing))

    own = TextCondition(cond.pooled, cut(cond.tokens), cut(cond.mask), used, cond.adapters)
    pooled = other.pooled.expand(k, -1)
    tokens = cut(other.tokens).expand(k, -1, -1)
    mask = cut(other.mask).expand(k, -1)
    return own, TextCondition(pooled, tokens, mask, used)


class Spliced(nn.Module):
    """A table of token embeddings, with one of k vectors at one position of each of k texts."""

    def __init__(self, table: nn.Module, position: int, vectors: Float[Tensor, "k w"]) -> None:
        super().__init__()
        self.table = table
        self.position = position
        self.vectors = vectors

    def forward(self, ids: Int[Tensor, "k l"]) -> Float[Tensor, "k l w"]:
        rows = self.table(ids)
        here = torch.arange(rows.shape[1], device=rows.device)[None, :, None] == self.position
        return torch.where(here, self.vectors.to(rows)[:, None, :], rows)


def routed_twin(adapters: Adapters, tensors: Mapping[str, Tensor], names: list[str]) -> Any:
    """Return a twin of the adapters' prior that sends row i of a batch through adapter names[i].

    It computes with the adapters' weights and with other `tensors` by their names. The routing is
    peft's own, for which a layer has to be called with the names.
    """
    prior = twin(adapters.prior, {**tensors, **adapters.weights})
    for layer in {name.split(".lora_")[0] for name in adapters.weights}:
        adapted = prior.get_submodule(layer)
        adapted.forward = partial(adapted.forward, adapter_names=names)
    return prior

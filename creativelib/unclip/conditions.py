"""The prior's inputs: tokenized texts, their encodings, adapters, and where sampling starts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import check_fields, share


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


@contextmanager
def routed_through_adapters(prior: Any, names: list[str]) -> Iterator[None]:
    """Send each row of the batch through the adapter of its name, by peft's own mechanism."""
    from peft.tuners.lora import LoraLayer

    def name_rows(_layer: nn.Module, inputs: Any, named: dict[str, Any]) -> Any:
        return inputs, named | {"adapter_names": names}

    layers = [layer for layer in prior.modules() if isinstance(layer, LoraLayer)]
    hooks = [
        layer.register_forward_pre_hook(name_rows, with_kwargs=True)
        for layer in layers
        if isinstance(layer, nn.Module)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

"""What the prior is told: tokenized texts, what CLIP makes of them, adapters, and where sampling begins."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .errors import InputError


@dataclass(frozen=True, eq=False)
class Adapters:
    """Changes of the prior, one for each of k conditions: a prior that holds peft's adapters of these names, and their weights."""

    prior: Any
    names: tuple[str, ...]
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class TextCondition:
    """What the prior is told about k texts: CLIP's projected embedding, its last hidden states, and True at real tokens, of which the
    longest text has `used`. With `adapters` it is told so through these."""

    pooled: Float[Tensor, "k d"]
    tokens: Float[Tensor, "k l w"]
    mask: Bool[Tensor, "k l"]
    used: int
    adapters: Adapters | None = None


@dataclass(frozen=True, eq=False)
class Ids:
    """k tokenized texts, padded to the text length, and True at real tokens, of which the longest text has `used`."""

    ids: Int[Tensor, "k l"]
    mask: Bool[Tensor, "k l"]
    used: int


@dataclass(frozen=True, eq=False)
class Start:
    """Where sampling begins instead of at noise: embeddings that are covered with the noise of a step on the way, so that `depth`, a share
    in (0, 1], of the steps are left (SDEdit, arXiv 2108.01073). Raises InputError for a depth out of range."""

    z: Float[Tensor, "#k #n d"]
    depth: float = 0.6

    def __post_init__(self) -> None:
        if not 0 < self.depth <= 1:
            raise InputError(f"depth is {self.depth}; allowed is a number above 0 and at most 1")

    def first(self, steps: int) -> int:
        """The first of the steps that is taken."""
        return min(steps - 1, round((1 - self.depth) * steps))


@contextmanager
def sent_through(prior: Any, names: list[str]) -> Iterator[None]:
    """Send each row of the batch through the adapter of its name: peft's own way for mixed batches."""
    from peft.tuners.lora import LoraLayer

    hooks = [layer.register_forward_pre_hook(lambda _layer, inputs, named: (inputs, named | {"adapter_names": names}), with_kwargs=True)
             for layer in prior.modules() if isinstance(layer, nn.Module) and isinstance(layer, LoraLayer)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

"""A low-rank change of the prior's attention (LoRA, arXiv 2106.09685), with the prompt as it is."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, at_least
from ..unclip.conditions import Adapters, TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling
from .base import Concept
from .token import check_template

RANK = 10  # Song and Elgammal's
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


@dataclass(frozen=True, eq=False)
class LoraConcept(Concept):
    """k adapters of peft's in one copy of the prior, which shares the original's weights; those of the adapters lie in `tensors`:
    for each adapted layer a matrix down to the rank and one up again, (k, rank, in) and (k, out, rank).

    `scale` is the root mean square of the adapted weights.
    """

    word: str
    factors: Mapping[str, Tensor]
    scale: float
    rank: int
    prior: Any
    kind = "lora"

    @classmethod
    def init(
        cls,
        pipe: Pipeline,
        word: str,
        k: int = 1,
        generator: torch.Generator | None = None,
        rank: int = RANK,
    ) -> "LoraConcept":
        """Start k adapters that change nothing: random down, zero up. Raises InputError for k or rank below 1 and without a generator."""
        from peft import LoraConfig

        at_least("k", k, 1)
        at_least("rank", rank, 1)
        if generator is None:
            raise InputError("generator is None; adapters need one to start apart")
        prior = copy.deepcopy(pipe.prior, {id(p): p for p in pipe.prior.parameters()})
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Already found a `peft_config`"
            )  # several adapters are what is wanted
            for i in range(k):
                prior.add_adapter(
                    LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS),
                    adapter_name=adapter(i),
                )
        prior.requires_grad_(False)
        factors = {}
        squares = []
        for name, layer in prior.named_modules():
            if hasattr(layer, "lora_A") and len(layer.lora_A):
                out, width = layer.weight.shape
                down = (
                    torch.randn(k, rank, width, generator=generator, device=generator.device)
                    / width**0.5
                )
                factors[f"{name}.down"] = down.to(pipe.device)
                factors[f"{name}.up"] = torch.zeros(k, out, rank, device=pipe.device)
                squares.append(layer.weight.float().square().mean())
        return cls(word, factors, torch.stack(squares).mean().sqrt().item(), rank, prior)

    @property
    def tensors(self) -> dict[str, Tensor]:
        return dict(self.factors)

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "LoraConcept":
        device = self.prior.device  # diffusers looks through every module for it
        return replace(self, factors={name: value.to(device) for name, value in tensors.items()})

    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"rank": self.rank}

    def condition(self, pipe: Pipeline, template: str) -> TextCondition:
        """The prompt with the plain word, k times, each told to the prior through its own adapter."""
        check_template(template)
        k = len(self)
        plain = pipe.encode_text([template.format(self.word)])
        weights = {}
        for name, value in self.factors.items():
            layer, way = name.rsplit(".", 1)
            for i in range(k):
                weights[f"{layer}.lora_{'A' if way == 'down' else 'B'}.{adapter(i)}.weight"] = (
                    value[i].to(pipe.dtype)
                )
        told = Adapters(self.prior, tuple(adapter(i) for i in range(k)), weights)
        return TextCondition(
            plain.pooled.expand(k, -1),
            plain.tokens.expand(k, -1, -1),
            plain.mask.expand(k, -1),
            plain.used,
            told,
        )

    def sample(
        self,
        pipe: Pipeline,
        template: str,
        n: int,
        *,
        noise: NoiseSource,
        sampling: PriorSampling = PriorSampling(),
    ) -> Float[Tensor, "k n d"]:
        """Draw n image embeddings of each concept in a prompt's place; differentiable in the adapters."""
        return pipe.sample_prior(self.condition(pipe, template), n, noise=noise, sampling=sampling)


def adapter(i: int) -> str:
    return f"concept{i}"

"""A low-rank change of the prior's attention (LoRA, arXiv 2106.09685), with the prompt as it is."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..english import check_template, clean_word, fill
from ..errors import InputError, whole
from ..sharing import normal_tensors
from ..unclip.conditions import Adapters, TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling
from .base import MOST_CONCEPTS, Concept

RANK = 10  # Song and Elgammal's
# No attention has matrices of a higher rank.
MOST_RANK = 10_000
# Where peft keeps the two matrices of an adapted layer.
PEFT_NAMES = {"down": "lora_A", "up": "lora_B"}
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


@dataclass(frozen=True, eq=False, repr=False)
class LoraConcept(Concept):
    """k of peft's adapters in one copy of the prior, which shares the original's weights."""

    word: str
    # The adapters' weights. For each adapted layer a matrix down to the rank, (k, rank, in), and
    # one up again, (k, out, rank).
    factors: Mapping[str, Tensor]
    # Root mean square of the adapted weights.
    scale: float
    rank: int
    prior: Any
    kind = "lora"

    @classmethod
    @normal_tensors()
    def init(
        cls,
        pipe: Pipeline,
        word: str,
        k: int = 1,
        generator: torch.Generator | None = None,
        rank: int = RANK,
    ) -> "LoraConcept":
        """Start k adapters that change nothing: random down, zero up.

        Raises InputError for a k that is not 1 to MOST_CONCEPTS, a rank below 1, a bad word,
        without a generator, and as `check_peft` does.
        """
        whole("k", k, 1, MOST_CONCEPTS)
        whole("rank", rank, 1, MOST_RANK)
        word = clean_word("word", word)
        if generator is None:
            raise InputError("generator is None; adapters need one to start apart")
        check_peft()
        from peft import LoraConfig

        prior = copy.deepcopy(pipe.prior, {id(p): p for p in pipe.prior.parameters()})
        # Several adapters are wanted here. The filter stays: to put back the filters of before, as
        # catch_warnings does, would undo what other threads did to them meanwhile.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        for i in range(k):
            lora = LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS)
            prior.add_adapter(lora, adapter_name=adapter_name(i))
        prior.requires_grad_(False)
        factors = {}
        squares = []
        for name, layer in prior.named_modules():
            if hasattr(layer, "lora_A") and len(layer.lora_A):
                out, width = layer.weight.shape
                noise = torch.randn(k, rank, width, generator=generator, device=generator.device)
                factors[f"{name}.down"] = (noise / width**0.5).to(pipe.device)
                factors[f"{name}.up"] = torch.zeros(k, out, rank, device=pipe.device)
                squares.append(layer.weight.float().square().mean())
        scale = torch.stack(squares).mean().sqrt().item()
        return cls(word, factors, scale, rank, prior)

    @property
    def tensors(self) -> dict[str, Tensor]:
        return dict(self.factors)

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "LoraConcept":
        # Asked for once: diffusers looks through every module for it.
        device = self.prior.device
        return replace(self, factors={name: value.to(device) for name, value in tensors.items()})

    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"rank": self.rank}

    def condition(self, pipe: Pipeline, template: str) -> TextCondition:
        """Encode the prompt with the plain word, once for each adapter."""
        check_template(template)
        k = len(self)
        cond = pipe.encode_text([fill(template, self.word)])
        weights = {}
        for name, value in self.factors.items():
            layer, direction = name.rsplit(".", 1)
            for i in range(k):
                key = f"{layer}.{PEFT_NAMES[direction]}.{adapter_name(i)}.weight"
                weights[key] = value[i].to(pipe.dtype)
        names = tuple(adapter_name(i) for i in range(k))
        return TextCondition(
            pooled=cond.pooled.expand(k, -1),
            tokens=cond.tokens.expand(k, -1, -1),
            mask=cond.mask.expand(k, -1),
            used=cond.used,
            adapters=Adapters(self.prior, names, weights),
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
        """Draw n image embeddings of each concept in a template; differentiable in the adapters."""
        return pipe.sample_prior(self.condition(pipe, template), n, noise=noise, sampling=sampling)


def adapter_name(i: int) -> str:
    """Name the adapter of concept i."""
    return f"concept{i}"


def check_peft() -> None:
    """Raise InputError if the installed torchao is one that peft refuses to work beside.

    peft looks at it for every layer that it adapts, although nothing here is quantized.
    """
    if find_spec("torchao") is None:
        return
    from peft.import_utils import is_torchao_available

    try:
        is_torchao_available()
    except ImportError as error:
        raise InputError(
            f"torchao is {version('torchao')}, with which peft makes no adapters ({error}); "
            "expected a newer one or none: pip uninstall torchao"
        ) from None

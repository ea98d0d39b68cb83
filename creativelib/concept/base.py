"""What every concept offers to the loop: its tensors, and image embeddings drawn with them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import InputError
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling

KINDS = ("subject", "feature", "adjective", "lora", "embedding")


class Concept(ABC):
    """k things that no word says yet.

    `tensors` are what is optimised, each with k rows, so that each concept goes its own way. `scale` is the unit of a step on them: one
    learning rate serves models of any size.
    """

    word: str
    kind: str
    scale: float

    @property
    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What is optimised, by name; the first axis counts concepts."""

    @abstractmethod
    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "Concept":
        """The same concept with other tensors."""

    @abstractmethod
    def sample(
        self,
        pipe: Pipeline,
        template: str,
        n: int,
        *,
        noise: NoiseSource,
        sampling: PriorSampling = PriorSampling(),
    ) -> Float[Tensor, "k n d"]:
        """Draw n image embeddings of each concept in a prompt's place; differentiable in the tensors."""

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def select(self, rows: list[int]) -> "Concept":
        """Some of these concepts, in this order."""
        return self.with_tensors({name: value[rows] for name, value in self.tensors.items()})

    def where(self, rows: Bool[Tensor, " k"], other: "Concept") -> "Concept":
        """These concepts where `rows` is True, the others' elsewhere."""

        def rows_of(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(rows.to(one.device).view(-1, *[1] * (one.ndim - 1)), one, two)

        theirs = other.tensors
        return self.with_tensors(
            {name: rows_of(value, theirs[name]) for name, value in self.tensors.items()}
        )

    def metadata(self) -> dict[str, Any]:
        """What the tensors do not say; goes into concept.json."""
        return {"kind": self.kind, "word": self.word, "scale": self.scale}

    def save(self, folder: Path) -> None:
        """Write concept.safetensors and concept.json into an existing folder."""
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in self.tensors.items()},
            folder / "concept.safetensors",
        )
        (folder / "concept.json").write_text(json.dumps(self.metadata(), indent=2) + "\n")


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `save` wrote. Raises InputError for a folder that holds no concept, or one of an unknown kind."""
    if not (folder / "concept.json").is_file() or not (folder / "concept.safetensors").is_file():
        raise InputError(
            f"folder {str(folder)!r} holds no concept; expected a folder with concept.json and concept.safetensors"
        )
    about = json.loads((folder / "concept.json").read_text())
    if about.get("kind") not in KINDS:
        raise InputError(
            f"folder {str(folder)!r} holds a concept of kind {about.get('kind')!r}; expected {', '.join(KINDS)}"
        )
    return about, load_file(folder / "concept.safetensors")


def load(folder: Path, pipe: Pipeline) -> Concept:
    """A concept of any kind, ready for this pipeline's prompts. Raises InputError as `read` does."""
    from . import EmbeddingConcept, LoraConcept, TokenConcept

    about, tensors = read(folder)
    match about["kind"]:
        case "lora":
            empty = LoraConcept.init(
                pipe,
                about["word"],
                len(next(iter(tensors.values()))),
                torch.Generator(),
                about["rank"],
            )
            return empty.with_tensors(tensors)
        case "embedding":
            return EmbeddingConcept(
                about["word"], tensors["vectors"].to(pipe.device), about["scale"]
            )
        case kind:
            return TokenConcept(
                about["word"], tensors["vectors"].to(pipe.device), about["scale"], kind
            )


def init(
    pipe: Pipeline,
    kind: str,
    word: str,
    k: int = 1,
    generator: torch.Generator | None = None,
    template: str = "a photo of a {}",
) -> Concept:
    """Start k concepts of a kind at what the word means. Raises InputError for an unknown kind and as the kinds' own `init` do."""
    from . import EmbeddingConcept, LoraConcept, TokenConcept

    match kind:
        case "lora":
            return LoraConcept.init(pipe, word, k, generator)
        case "embedding":
            return EmbeddingConcept.init(pipe, word, k, generator, template)
        case _:
            return TokenConcept.init(pipe, word, k, generator, kind)

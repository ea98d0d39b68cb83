"""What every concept offers to the loop: its tensors, and image embeddings drawn with them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load, save_file
from torch import Tensor

from ..errors import InputError
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling

# Concepts at once. More would share noise with those of other runs, see `seeds.first_seed`.
MOST_CONCEPTS = 1000
KINDS = ("subject", "feature", "adjective", "lora", "embedding")


class Concept(ABC):
    """k things that no word names yet.

    Optimized are `tensors`, each with k rows, so that each concept goes its own way.
    """

    word: str
    kind: str
    # The unit of a step on the tensors: one learning rate serves models of any size.
    scale: float

    @property
    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What is optimized, by name; the first axis counts concepts."""

    @abstractmethod
    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "Concept":
        """Return the same concept with other tensors."""

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
        """Draw n image embeddings of each concept in a template; differentiable in the tensors."""

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __repr__(self) -> str:
        shapes = {name: tuple(value.shape) for name, value in self.tensors.items()}
        first = dict(list(shapes.items())[:2])
        more = f" and {len(shapes) - 2} more" if len(shapes) > 2 else ""
        return (
            f"{type(self).__name__}({len(self)} of kind {self.kind!r}, begun at {self.word!r})\n"
            f"  tensors {first}{more}, scale {self.scale:.3g}"
        )

    def select(self, rows: list[int]) -> "Concept":
        """Return some of these concepts, in this order."""
        return self.with_tensors({name: value[rows] for name, value in self.tensors.items()})

    def where(self, rows: Bool[Tensor, " k"], other: "Concept") -> "Concept":
        """Return these concepts where `rows` is True, the others elsewhere."""

        def choose(one: Tensor, two: Tensor) -> Tensor:
            mask = rows.to(one.device).view(-1, *[1] * (one.ndim - 1))
            return torch.where(mask, one, two)

        others = other.tensors
        chosen = {name: choose(value, others[name]) for name, value in self.tensors.items()}
        return self.with_tensors(chosen)

    def metadata(self) -> dict[str, Any]:
        """Return what the tensors do not say; it goes into concept.json."""
        return {"kind": self.kind, "word": self.word, "scale": self.scale}

    def save(self, folder: str | Path) -> None:
        """Write concept.safetensors and concept.json into a folder, which is created."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.tensors.items()}
        save_file(tensors, folder / "concept.safetensors")
        (folder / "concept.json").write_text(
            json.dumps(self.metadata(), indent=2) + "\n", encoding="utf-8", newline="\n"
        )


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the metadata and tensors that `Concept.save` wrote.

    Raises InputError for a folder that holds no concept, or one of an unknown kind.
    """
    folder = Path(folder)
    description = folder / "concept.json"
    weights = folder / "concept.safetensors"
    if not description.is_file() or not weights.is_file():
        raise InputError(
            f"folder {str(folder)!r} holds no concept; expected a folder with concept.json and "
            "concept.safetensors"
        )
    metadata = json.loads(description.read_text(encoding="utf-8"))
    if metadata.get("kind") not in KINDS:
        raise InputError(
            f"folder {str(folder)!r} holds a concept of kind {metadata.get('kind')!r}; expected "
            f"one of {', '.join(KINDS)}"
        )
    # A file that is read as a whole can be replaced while its tensors live, on Windows too.
    return metadata, load(weights.read_bytes())

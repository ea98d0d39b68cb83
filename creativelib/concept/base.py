"""What every concept offers to the loop: its tensors, and image embeddings drawn with them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from ..errors import InputError, shown
from ..files import atomic_write, write_json
from ..reading import read_json, refusing
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling

# Concepts at once. More would share noise with those of other runs, see `seeds.first_seed`.
MOST_CONCEPTS = 1000
# Limits of what a file may say.
LARGEST = 1e6
MAX_RANK = 4096
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
        """Write concept.safetensors and concept.json into a folder, which is created.

        A folder in which this was interrupted holds the old concept, the new one, or none.
        """
        folder = Path(folder)
        description = folder / "concept.json"
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.tensors.items()}
        # The description of another concept must not stand beside these tensors.
        if description.is_file() and not _describes(description, self.metadata()):
            description.unlink()
        with atomic_write(folder / "concept.safetensors") as part:
            save_file(tensors, part)
        write_json(description, self.metadata())

    def is_in(self, folder: str | Path) -> bool:
        """Check whether a folder holds this very concept, as `save` wrote it."""
        folder = Path(folder)
        if not _describes(folder / "concept.json", self.metadata()):
            return False
        try:
            stored = load((folder / "concept.safetensors").read_bytes())
        except (OSError, SafetensorError):
            return False
        own = self.tensors
        return stored.keys() == own.keys() and all(
            stored[name].dtype == value.dtype and torch.equal(stored[name], value.detach().cpu())
            for name, value in own.items()
        )


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the metadata and tensors that `Concept.save` wrote.

    Raises InputError for a folder that holds no concept, one of an unknown kind, or damaged files.
    """
    folder = Path(folder)
    description = folder / "concept.json"
    weights = folder / "concept.safetensors"
    if not description.is_file() or not weights.is_file():
        raise InputError(
            f"folder {str(folder)!r} holds no concept; expected a folder with concept.json and "
            "concept.safetensors"
        )
    metadata = read_json(description)
    if metadata.get("kind") not in KINDS:
        raise InputError(
            f"folder {str(folder)!r} holds a concept of kind {metadata.get('kind')!r}; expected "
            f"one of {', '.join(KINDS)}"
        )
    word = metadata.get("word")
    scale: Any = metadata.get("scale")
    rank = metadata.get("rank", 1)
    if (
        not isinstance(word, str)
        or type(scale) not in (int, float)
        or not 0 < scale < LARGEST
        or type(rank) is not int
        or not 1 <= rank <= MAX_RANK
    ):
        raise InputError(
            f"file {str(description)!r} has word {shown(word)}, scale {shown(scale)} and "
            f"rank {shown(rank)}; expected a text, a number above 0, and a whole number up to "
            f"{MAX_RANK}"
        )
    with refusing(f"file {str(weights)!r}"):
        # A file that is read as a whole can be replaced while its tensors live, on Windows too.
        tensors = load(weights.read_bytes())
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    counts = {shape[0] if shape else 0 for shape in shapes.values()}
    vectors = metadata["kind"] == "lora" or len(shapes.get("vectors", ())) == 2
    if len(counts) != 1 or not min(counts) or not vectors:
        raise InputError(
            f"file {str(weights)!r} holds {shown(shapes)}; expected the tensors that "
            "Concept.save writes, with a row for each concept"
        )
    return metadata, tensors


def _describes(description: Path, metadata: dict[str, Any]) -> bool:
    """Check whether a file holds this metadata; one that cannot be read does not."""
    try:
        return json.loads(description.read_bytes()) == metadata
    except (OSError, ValueError):
        return False

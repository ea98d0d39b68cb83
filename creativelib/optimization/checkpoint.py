"""The state of a run in one safetensors file, from which the run resumes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..concept import Concept
from ..errors import InputError
from ..files import atomic_write, differences
from .loop import OptimizerState


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run needs to resume."""

    # By their names in the run's state.
    concepts: Mapping[str, Concept]
    optimizer_state: OptimizerState
    # Tensors with one value for each concept.
    rows: Mapping[str, Tensor]
    # Other values, which JSON can hold.
    facts: Mapping[str, Any]


def write_checkpoint(file: Path, state: Checkpoint, about: Mapping[str, object]) -> None:
    """Write a run's state and what the run is `about`. A crash leaves the old file."""
    tensors = {
        f"{part}.{name}": value
        for part, concept in state.concepts.items()
        for name, value in concept.tensors.items()
    }
    moments = state.optimizer_state.moments
    tensors |= {f"moments.{name}": value for name, value in moments.items()}
    tensors |= state.rows
    copies = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    header = {
        "index": state.optimizer_state.index,
        "rows": list(state.rows),
        "facts": state.facts,
        "about": about,
    }
    with atomic_write(file) as part:
        save_file(copies, part, {"creativelib": json.dumps(header)})


def read_checkpoint(
    file: Path, parts: Sequence[str], start: Concept, about: Mapping[str, object]
) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    parts: names of the concepts. start: a concept of the same kind and size.

    Raises InputError for a file that is not a checkpoint, or one of a run about something else.
    """
    try:
        with safe_open(file, "pt") as stored:
            header = json.loads(stored.metadata()["creativelib"])
            # Copies: Windows replaces no file whose tensors lie in memory as parts of the file.
            tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises several kinds, none of them public
        raise InputError(
            f"checkpoint is {str(file)!r}, which cannot be read ({error}); expected a saved run"
        ) from None
    wanted = json.loads(json.dumps(about))
    if header["about"] != wanted:
        raise InputError(
            f"checkpoint {str(file)!r} is of a run with other settings: "
            f"{differences(header['about'], wanted)}; expected another file, or the same settings"
        )
    device = next(iter(start.tensors.values())).device

    def concept(part: str) -> Concept:
        own = {name: tensors[f"{part}.{name}"].to(device) for name in start.tensors}
        return start.with_tensors(own)

    # AdamW keeps its step counts on the CPU.
    moments = {
        name.removeprefix("moments."): value if name.endswith(".step") else value.to(device)
        for name, value in tensors.items()
        if name.startswith("moments.")
    }
    return Checkpoint(
        concepts={part: concept(part) for part in parts},
        optimizer_state=OptimizerState(header["index"], moments),
        rows={name: tensors[name] for name in header["rows"]},
        facts=header["facts"],
    )

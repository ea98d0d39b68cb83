"""The state of a run in one safetensors file, to go on from: concepts, what the loop remembers of them, a row of numbers for each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..concept import Concept
from ..errors import InputError
from ..files import atomic_write
from .loop import OptimizerState


def write_state(
    file: Path,
    concepts: Mapping[str, Concept],
    optimizer_state: OptimizerState,
    rows: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    about: Mapping[str, object],
) -> None:
    """Write concepts by name, the loop's memory, rows and facts, and what the run is `about`. A crash leaves the old file."""
    tensors = {
        f"{part}.{name}": value
        for part, concept in concepts.items()
        for name, value in concept.tensors.items()
    }
    tensors |= {f"moments.{name}": value for name, value in optimizer_state.moments.items()} | dict(
        rows
    )
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    with atomic_write(file) as part:
        save_file(
            own,
            part,
            {
                "creativelib": json.dumps(
                    {
                        "index": optimizer_state.index,
                        "rows": list(rows),
                        "facts": facts,
                        "about": about,
                    }
                )
            },
        )


def read_state(
    file: Path, parts: Sequence[str], start: Concept, about: Mapping[str, object]
) -> tuple[dict[str, Any], OptimizerState, dict[str, Any], dict[str, Any]]:
    """What `write_state` wrote: concepts by the names of `parts`, of the kind and size of `start`, memory, rows, facts.

    Raises InputError for a file that is no state, or that of a run about something else.
    """
    try:
        with safe_open(file, "pt") as stored:
            kept = json.loads(stored.metadata()["creativelib"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    except Exception as error:  # safetensors raises several kinds, none of them public
        raise InputError(f"checkpoint {str(file)!r} is no saved run ({error})") from None
    if kept["about"] != json.loads(json.dumps(about)):
        raise InputError(
            f"checkpoint {str(file)!r} is of a run with other settings; expected another file, or these settings"
        )
    device = next(iter(start.tensors.values())).device
    concepts = {
        part: start.with_tensors(
            {name: tensors[f"{part}.{name}"].to(device) for name in start.tensors}
        )
        for part in parts
    }
    moments = {
        name.removeprefix("moments."): value if name.endswith(".step") else value.to(device)
        for name, value in tensors.items()
        if name.startswith("moments.")
    }
    return (
        concepts,
        OptimizerState(kept["index"], moments),
        {name: tensors[name] for name in kept["rows"]},
        kept["facts"],
    )

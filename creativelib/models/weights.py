"""Read what a network's weights are, from safetensors' headers and from the index of shards."""

import re
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..errors import InputError, shown
from ..reading import check_file, read_json, refusing
from .parts import Part

MANY_LAYERS = 1000  # built in a moment


def listed(folder: Path, part: Part) -> list[Path]:
    """List the files of weights that are there, the indices, and the shards that they name."""
    files = []
    for stem in part.weights:
        whole = folder / f"{stem}.safetensors"
        index = folder / f"{stem}.safetensors.index.json"
        if whole.is_file():
            files.append(whole)
        if index.is_file():
            files += [index, *(folder / name for name in sorted(set(_shards(index).values())))]
    return files


def weight_files(folder: Path, part: Part) -> list[Path]:
    """List a part's files of weights: whole ones, and the shards that an index names.

    Raises InputError for an index that cannot be read.
    """
    return [file for file in listed(folder, part) if file.suffix == ".safetensors"]


def _shards(index: Path) -> dict[str, str]:
    """Read which shard holds each tensor. Shards lie beside their index."""
    shards: Any = read_json(index).get("weight_map")
    names = shards.values() if isinstance(shards, dict) else [None]
    for name in names or [None]:
        if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name):
            raise InputError(
                f"file {str(index)!r} names {shown(name)} as a file of weights; expected names "
                "of safetensors files beside it"
            )
    return shards


def check_weights(folder: Path, part: Part, config: dict[str, Any]) -> None:
    """Check the headers of weights, the index against them, and the counts of layers."""
    files = listed(folder, part)
    tensors = {file.name: _tensor_names(file) for file in files if file.suffix == ".safetensors"}
    for index in files:
        shards = _shards(index) if index.suffix == ".json" else {}
        for name, shard in shards.items():
            if name not in tensors[shard]:
                raise InputError(
                    f"file {str(folder / shard)!r} lacks {name}, which {index.name} says it holds; "
                    "fetch both again"
                )
    _check_layers(folder / part.configs[0], config, sum(len(names) for names in tensors.values()))


def _tensor_names(file: Path) -> set[str]:
    """Read the names of a file's tensors. Its header has to fit its length."""
    check_file(file)
    with refusing(f"file {str(file)!r}"), safe_open(file, "pt") as stored:
        return set(stored.keys())


def _check_layers(file: Path, config: dict[str, Any], tensors: int) -> None:
    """Raise InputError for more layers than tensors, if building them would take forever."""
    most = max(tensors, MANY_LAYERS)
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        for key, inner in value.items():
            for count in inner if isinstance(inner, list) else [inner]:
                if "layers" in key and isinstance(count, int) and count > most:
                    raise InputError(
                        f"file {str(file)!r} sets {key} to {shown(inner)}; expected at most "
                        f"the {tensors} tensors of its weights"
                    )

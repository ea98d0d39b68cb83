"""Read the folders of models: what is missing, damaged or foreign is refused here.

A folder is data that somebody else wrote. Nothing in it may run code, be unpickled, or lead to a
file outside of it: configurations name classes that are known, weights are safetensors, and what
the libraries would follow elsewhere is refused before they see it. Each refusal names the file, the
fault and the remedy.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from ..reading import check_file, read_json
from .parts import Part
from .weights import check_weights, listed

# Settings with which diffusers, transformers and open_clip import code, call another library, or
# open a path or a repository that a configuration names.
FOREIGN = {
    "attn_implementation",
    "audio_tokenizer",
    "auto_map",
    "base_model_name_or_path",
    "bpe_path",
    "custom_generate",
    "custom_pipeline",
    "custom_pipelines",
    "experts_implementation",
    "fast_tokenizer_files",
    "gguf_file",
    "hf_model_name",
    "init_inputs",
    "kernel_config",
    "merges_file",
    "quantization_config",
    "sp_model_file",
    "spm_file",
    "tokenizer_file",
    "transformers_weights",
    "trust_remote_code",
    "use_kernels",
    "vocab_file",
}
# Values with which such a setting asks for nothing foreign.
HARMLESS = (None, False, "", [], {}, "eager", "sdpa")
# Files of settings that the libraries read if they are there.
SETTINGS = (
    "added_tokens.json",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "model_index.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "scheduler_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)
# Files that the libraries follow to another repository, or prefer to the weights that are checked.
REFUSED = ("adapter_config.json", "audio_tokenizer_config.json", "shard-*-model-*.safetensors")
MAX_SIZE = 100_000  # of a network's sizes; real ones have four digits
PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")


def lacking(folder: Path, parts: Sequence[Part]) -> str:
    """Name the first file of these parts that is not in the folder; empty if all are there.

    Raises InputError for an index of weights that cannot be read.
    """
    for part in parts:
        if not any((folder / name).is_file() for name in part.configs):
            return part.configs[0]
        weights = listed(folder, part)
        if part.weights and not weights:
            return f"{part.weights[0]}.safetensors"
        for file in weights:
            if not file.is_file():
                return file.name
        sets = part.vocabularies
        if sets and not any(all((folder / name).is_file() for name in names) for names in sets):
            return " and ".join(sets[0])
    return ""


def read_part(folder: Path, part: Part, root: Path | None = None) -> dict[str, Any]:
    """Check all files of one part of a model, and return its configuration.

    root: the model's folder, which no file may lead out of; by default the part's own.

    Raises InputError for what is missing, damaged, of an unknown kind, or foreign.
    """
    root = root or folder
    missing = lacking(folder, [part])
    if missing:
        raise InputError(f"model folder {str(folder)!r} lacks {missing}{hint(folder, missing)}")
    check_inside(folder, root)
    for file in (*folder.iterdir(), *folder.glob("*/*.jinja")):
        if file.is_symlink():
            check_inside(file, root)
        if any(file.match(pattern) for pattern in REFUSED):
            raise InputError(
                f"model folder {str(folder)!r} holds {file.name}, which leads to other weights; "
                "expected a whole model: merge an adapter first, or remove that file"
            )
    settings = {
        name: _read_settings(folder / name)
        for name in dict.fromkeys([*part.configs, *SETTINGS])
        if (folder / name).exists()
    }
    name = next(name for name in part.configs if name in settings)
    config = settings[name]
    kind = config.get(part.key)
    if part.key and kind not in part.known:
        noun = "type" if part.key == "model_type" else "class"
        named = kind if isinstance(kind, str) else repr(kind)
        raise InputError(
            f"model folder {str(folder)!r} is of {noun} {named[:60]}; expected "
            f"{', '.join(part.known)} as {part.key} in {name}"
        )
    for key in part.sizes:
        size = config.get(key)
        if type(size) is not int or not 1 <= size <= MAX_SIZE:
            raise InputError(
                f"file {str(folder / name)!r} has {key} {shown(size)}; expected a whole number "
                f"from 1 to {MAX_SIZE}"
            )
    for file in {name for names in part.vocabularies for name in names}:
        if (folder / file).exists():
            check_file(folder / file)
    if part.weights:
        check_weights(folder, part, config)
    return config


def read_config(file: Path, root: Path) -> dict[str, Any]:
    """Read a configuration in a model's folder `root`.

    Raises InputError as `reading.read_json` does, for a file outside of `root`, and for settings
    with which a library would run code or open something else.
    """
    check_inside(file, root)
    return _read_settings(file)


def check_inside(file: Path, root: Path) -> None:
    """Raise InputError if a file, or what it links to, lies outside of a model's folder."""
    try:
        real = file.resolve()
    except (OSError, RuntimeError):
        real = Path()  # links that lead in a circle
    if not any(real.is_relative_to(place) for place in _places(root)):
        raise InputError(
            f"file {str(file)!r} leads outside of the model's folder {str(root)!r}; expected a "
            "copy of the file itself"
        )


def hint(folder: Path, missing: str) -> str:
    """Say what lies in place of a missing file, and what to do."""
    name = missing.split(" and ")[0]
    if (folder / name).is_symlink():
        return ", a link to nothing; expected the whole folder, fetch it again"
    if not name.endswith(".safetensors"):
        return "; expected the whole folder, fetch it again"
    missing = ": weights in safetensors are missing"
    half = name.replace(".safetensors", ".fp16.safetensors")
    if (folder / half).is_file():
        return f"{missing}, and there is {half} alone; expected {name}, so rename it"
    beside = (folder / name).parent.glob("*")
    pickles = sorted(file.name for file in beside if file.suffix in PICKLES)
    if pickles:
        return (
            f"{missing}, and {', '.join(pickles[:3])} is not read, since pickles may run code; "
            "expected weights converted to safetensors"
        )
    return f"{missing}; expected the whole folder, fetch it again"


def _read_settings(file: Path) -> dict[str, Any]:
    config = read_json(file)
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            for key, inner in value.items():
                if key.lstrip("_") in FOREIGN and inner not in HARMLESS:
                    raise InputError(
                        f"file {str(file)!r} sets {key} to {shown(inner)}, which wants to run "
                        "code of its own or to open other files; expected a model without it"
                    )
    return config


def _places(root: Path) -> tuple[Path, ...]:
    """Return where a model's files may lie: its folder, or the contents of a hub's cache.

    In the cache, a snapshot's files are links to the contents, which repositories may share.
    """
    real = root.resolve()
    for folder in (real, *real.parents):
        cached = folder.parents[1] if folder.parent.name == "snapshots" else Path()
        if cached.name.startswith("models--"):
            stores = (cached / "blobs", cached.parent / "blobs")
            return (folder, *(store.resolve() for store in stores))
    return (real,)

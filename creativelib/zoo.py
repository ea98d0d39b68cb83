"""Which models there are: a name becomes a folder of checked files, or an error that says what is missing."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

PARTS = ("prior", "decoder")


@dataclass(frozen=True)
class Model:
    """What is known about a model before it is loaded. `folder` is set when its files ship with the package."""

    name: str
    about: str
    licence: str
    download: str
    memory: str
    folder: Path | None = None
    hub: tuple[str, ...] = ()
    missing: str = ""


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("menagerie", "a tiny unCLIP stack trained on the Menagerie, whose true probabilities are known", "Apache-2.0",
              "none, ships with the package", "under 1 GB, a CPU is enough", folder=Path(__file__).parent / "checkpoints" / "menagerie"),
        Model("kandinsky-2-1", "Kandinsky 2.1", "Apache-2.0", "about 2.9 GB for the prior in half precision", "a GPU with 16 GB",
              hub=("kandinsky-community/kandinsky-2-1-prior", "kandinsky-community/kandinsky-2-1"),
              missing="it arrives with chapter 13, Kandinsky on a GPU"),
        Model("kandinsky-2-2", "Kandinsky 2.2", "Apache-2.0", "about 7.1 GB for the prior in half precision", "a GPU with 24 GB",
              hub=("kandinsky-community/kandinsky-2-2-prior", "kandinsky-community/kandinsky-2-2-decoder"),
              missing="it arrives with chapter 13, Kandinsky on a GPU"),
    )
}


@dataclass(frozen=True)
class Located:
    """A model found on disk. `fingerprint` changes when its files do; `has_truth`: it was trained on the Menagerie."""

    name: str
    folder: Path
    fingerprint: str
    has_truth: bool


def locate(name_or_path: str | Path) -> Located:
    """Find a model by name, or by a path to a folder that holds `prior/` and `decoder/` in Kandinsky 2.2's layout.

    Bundled files are compared with their sha256 sums. Raises InputError for an unknown or not yet supported name, for a folder without
    the two parts, and for bundled files that are missing or damaged.
    """
    model = MODELS.get(str(name_or_path))
    if model is None:
        return _locate_folder(Path(name_or_path))
    if model.folder is None:
        raise InputError(f"model {model.name!r} is not yet supported: {model.missing}; available now: {_available()}")
    return Located(model.name, model.folder, verify(model.folder), has_truth=True)


def verify(folder: Path) -> str:
    """Compare every file listed in the folder's sha256.json with its sum; return a fingerprint of them all."""
    sums = folder / "sha256.json"
    if not sums.is_file():
        raise InputError(f"the bundled model's file {sums} is missing; install creativelib again")
    text = sums.read_text()
    for path, expected in json.loads(text).items():
        file = folder / path
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise InputError(f"the bundled model's file {file} is {'damaged' if file.is_file() else 'missing'}; install creativelib again")
    return hashlib.sha256(text.encode()).hexdigest()


def _locate_folder(folder: Path) -> Located:
    if not folder.is_dir():
        raise InputError(f"model {str(folder)!r} is neither a known name nor a folder; known names: {', '.join(MODELS)}")
    for part in PARTS:
        if not (folder / part / "model_index.json").is_file():
            raise InputError(f"model folder {str(folder)!r} has no {part}/model_index.json; it must hold prior/ and decoder/ as "
                             "KandinskyV22PriorPipeline and KandinskyV22Pipeline save them")
    # Sizes and times stand for the contents: hashing a real model's gigabytes would take longer than the work.
    files = sorted(file for part in PARTS for file in (folder / part).rglob("*") if file.is_file())
    listing = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return Located(folder.name, folder, hashlib.sha256(json.dumps(listing).encode()).hexdigest(), has_truth=False)


def _available() -> str:
    return ", ".join(model.name for model in MODELS.values() if model.folder)

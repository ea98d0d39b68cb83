"""From a model's name to checked files on disk, or an error that says what is missing."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import InputError
from .hub import Snapshot, snapshot
from .names import DECODERS, MODELS, PARTS, PRIORS, VIT_L, VIT_L_SIZE


@dataclass(frozen=True)
class ModelFiles:
    """A model's parts on disk, in the layouts of the pipeline classes `kinds`; `eyes` holds its image encoder. `fingerprint` changes when
    its files do; `revisions` are the commits of what came from the hub; `has_truth`: it was trained on the Menagerie."""

    name: str
    prior: Path
    decoder: Path
    image_encoder: Path
    pipeline_classes: tuple[str, str]
    fingerprint: str
    has_truth: bool = False
    revisions: Mapping[str, str] = field(default_factory=dict)


def locate(
    name_or_path: str | Path | tuple[str | Path, str | Path],
    revision: str | tuple[str | None, str | None] | None = None,
) -> ModelFiles:
    """Find a model by name, in a folder that holds `prior/` and `decoder/`, in one that is an UnCLIPPipeline, or by a pair of parts: of
    each a folder, or a hub's id. An id alone is of a repository laid out like such a folder.

    Bundled files are compared with their sha256 sums. What is on a hub is downloaded unless the cache holds it, see `hub.snapshot`; its
    licence and size are printed before. Raises InputError for an unknown name, for folders without the parts or with something else in
    them, for bundled files that are missing or damaged, and as `hub.snapshot` does.
    """
    commits = revision if isinstance(revision, tuple) else (revision, revision)
    model = MODELS.get(name_or_path) if isinstance(name_or_path, str) else None
    if model is not None and model.folder is not None:
        if revision is not None:
            raise InputError(
                f"revision is {revision!r}; expected None for {model.name!r}, which ships with the package"
            )
        prior, decoder = (model.folder / part for part in PARTS)
        return ModelFiles(
            model.name,
            prior,
            decoder,
            prior,
            model.pipeline_classes,
            verify(model.folder),
            has_truth=True,
        )
    if model is not None:
        wanted: dict[str, list[str]] = {}
        for repo, parts in zip(
            model.hub,
            (PRIORS[model.pipeline_classes[0]], DECODERS[model.pipeline_classes[1]]),
            strict=True,
        ):
            wanted.setdefault(repo, []).extend(parts)
        return _joined(
            model.name,
            [
                snapshot(repo, at, wanted[repo], model.terms, size)
                for repo, at, size in zip(model.hub, commits, model.sizes, strict=True)
            ],
        )
    if isinstance(name_or_path, tuple):
        return _joined(
            Path(name_or_path[1]).name,
            [_found(part, at) for part, at in zip(name_or_path, commits, strict=True)],
        )
    if not Path(name_or_path).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name_or_path)):
        raise InputError(
            f"model {str(name_or_path)!r} is neither a known name nor a folder; known names: {', '.join(MODELS)}"
        )
    whole = _found(name_or_path, commits[0])
    if (whole.folder / "model_index.json").is_file() and _kind(
        whole.folder
    ) in PRIORS.keys() & DECODERS.keys():
        return _joined(Path(name_or_path).name, [whole, whole])
    for part in PARTS:
        if not (whole.folder / part / "model_index.json").is_file():
            raise InputError(
                f"model folder {str(whole.folder)!r} has no {part}/model_index.json; it must hold prior/ and decoder/ as "
                "KandinskyV22PriorPipeline and KandinskyV22Pipeline save them, or those of Kandinsky 2.1, or be an "
                "UnCLIPPipeline"
            )
    return _joined(
        Path(name_or_path).name, [replace(whole, folder=whole.folder / part) for part in PARTS]
    )


def verify(folder: Path) -> str:
    """Compare every file listed in the folder's sha256.json with its sum; return a fingerprint of them all."""
    sums = folder / "sha256.json"
    if not sums.is_file():
        raise InputError(f"the bundled model's file {sums} is missing; install creativelib again")
    text = sums.read_text()
    for path, expected in json.loads(text).items():
        file = folder / path
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise InputError(
                f"the bundled model's file {file} is {'damaged' if file.is_file() else 'missing'}; install creativelib again"
            )
    return hashlib.sha256(text.encode()).hexdigest()


def _found(name_or_path: str | Path, revision: str | None) -> Snapshot:
    """A folder, or what the hub has by this id."""
    return (
        Snapshot("", Path(name_or_path), "")
        if Path(name_or_path).is_dir()
        else snapshot(str(name_or_path), revision)
    )


def _joined(name: str, parts: list[Snapshot]) -> ModelFiles:
    """What the two parts are together. Raises InputError for folders that hold something else."""
    kinds = []
    for part, found, known in zip(PARTS, parts, (PRIORS, DECODERS), strict=True):
        kind = _kind(found.folder)
        if kind not in known:
            raise InputError(
                f"the {part} in {str(found.folder)!r} is a {kind}; expected {', '.join(known)}"
            )
        if missing := [each for each in known[kind] if not (found.folder / each).is_dir()]:
            raise InputError(
                f"the {part} in {str(found.folder)!r} lacks {', '.join(missing)}, which a {kind} saves"
            )
        kinds.append(kind)
    if not (parts[0].folder / "image_encoder").is_dir():
        parts = [*parts, snapshot(VIT_L, gigabytes=VIT_L_SIZE)]
    eyes = parts[-1].folder if len(parts) > 2 else parts[0].folder
    commits = {part.repo: part.revision for part in parts if part.repo}
    # Sizes and times stand for the contents: hashing a real model's gigabytes would take longer than the work.
    files = [
        file
        for part in parts
        if not part.repo
        for file in sorted(part.folder.rglob("*"))
        if file.is_file()
    ]
    seen = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    fingerprint = hashlib.sha256(json.dumps([sorted(commits.items()), seen]).encode()).hexdigest()
    return ModelFiles(
        name,
        parts[0].folder,
        parts[1].folder,
        eyes,
        (kinds[0], kinds[1]),
        fingerprint,
        revisions=commits,
    )


def _kind(folder: Path) -> str:
    """The pipeline class whose files a folder holds. Raises InputError for one without model_index.json."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(
            f"model folder {str(folder)!r} has no model_index.json, which every pipeline of diffusers saves"
        )
    return json.loads(index.read_text())["_class_name"]

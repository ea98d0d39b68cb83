"""Turn a model's name into checked files on disk, or into an error that says what is missing."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, nearest, shown
from ..reading import verify
from .folders import check_inside, lacking, read_config, read_part
from .hub import Snapshot, snapshot
from .names import BUNDLED_STACKS, MODELS, PARTS, VIT_L, VIT_L_SIZE, Model
from .parts import DECODERS, ENCODER, PRIORS, Part

INDEX = "model_index.json"


@dataclass(frozen=True)
class ModelFiles:
    """A model's parts on disk."""

    name: str
    prior: Path
    decoder: Path
    # The folder that holds the image encoder.
    image_encoder: Path
    # Pipeline classes of diffusers that saved the prior and the decoder.
    pipeline_classes: tuple[str, str]
    # Changes when the model's files change.
    fingerprint: str
    # Whether the model was trained on the Menagerie, whose probabilities are known.
    has_truth: bool = False
    # Commits that the files were downloaded from, by repository.
    revisions: Mapping[str, str] = field(default_factory=dict)


def locate(
    name_or_path: str | Path | tuple[str | Path, str | Path],
    revision: str | tuple[str | None, str | None] | None = None,
) -> ModelFiles:
    """Find a model's files.

    name_or_path: one of
        - a name in `MODELS`;
        - a folder, or the id of a repository on the hub, that holds `prior/` and `decoder/` or is
          an UnCLIPPipeline;
        - a pair of the two parts, each a folder or an id on the hub.
    revision: the hub's, for both parts or for each its own; None for files that are not on the hub.

    Bundled files are compared with their sha256 sums. Files on the hub are downloaded unless the
    cache holds them, see `hub.snapshot`; their license and size are printed first. Raises
    InputError for an unknown name, for folders that lack a part or hold another class's files, for
    bundled files that are missing or damaged, and as `hub.snapshot` and `folders.read_part` do.
    """
    commits = revision if isinstance(revision, tuple) else (revision, revision)
    model = MODELS.get(name_or_path) if isinstance(name_or_path, str) else None
    if model is not None and model.folder is not None:
        if revision is not None:
            raise InputError(
                f"revision is {revision!r}; expected None for {model.name!r}, which ships with the "
                "package"
            )
        return _bundled_files(model, model.folder)
    if model is not None:
        return _join(model.name, _download(model, commits))
    if isinstance(name_or_path, tuple):
        pairs = zip(name_or_path, commits, strict=True)
        snapshots = [_folder_or_snapshot(part, commit) for part, commit in pairs]
        return _join(Path(name_or_path[1]).name, snapshots)
    name = Path(name_or_path).name
    if not Path(name_or_path).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name_or_path)):
        raise InputError(
            f"model {str(name_or_path)!r} is neither a known name nor a folder; known names: "
            f"{', '.join(MODELS)}{nearest(str(name_or_path), MODELS)}"
        )
    whole = _folder_or_snapshot(name_or_path, commits[0])
    if _is_whole_pipeline(whole.folder):
        return _join(name, [whole, whole])
    for part in PARTS:
        check_inside(whole.folder / part, whole.folder)
        if not (whole.folder / part / INDEX).is_file():
            raise InputError(
                f"model folder {str(whole.folder)!r} has no {part}/model_index.json; it must hold "
                "prior/ and decoder/ as KandinskyV22PriorPipeline and KandinskyV22Pipeline save "
                "them, or those of Kandinsky 2.1, or be an UnCLIPPipeline"
            )
    return _join(name, [replace(whole, folder=whole.folder / part) for part in PARTS])


def check_stack(stack: str) -> None:
    """Raise InputError unless the files of a stack ship with the package."""
    if stack not in BUNDLED_STACKS:
        hint = nearest(stack, BUNDLED_STACKS)
        raise InputError(f"stack is {stack!r}; expected {', '.join(BUNDLED_STACKS)}{hint}")


def bundled(part: str = "", stack: str = "menagerie") -> Path:
    """Return the folder of a bundled stack's part, such as "judge"; by default of all parts.

    All files of the stack are compared with their sha256 sums first. Raises InputError if the stack
    is not bundled, or if its files are missing or damaged.
    """
    check_stack(stack)
    folder = MODELS[stack].folder
    assert folder is not None
    verify(folder)
    return folder / part


def _bundled_files(model: Model, folder: Path) -> ModelFiles:
    prior, decoder = (folder / part for part in PARTS)
    return ModelFiles(
        name=model.name,
        prior=prior,
        decoder=decoder,
        image_encoder=prior,
        pipeline_classes=model.pipeline_classes,
        fingerprint=verify(folder),
        has_truth=True,
    )


def _download(model: Model, commits: tuple[str | None, str | None]) -> list[Snapshot]:
    """Return the snapshots of a model's prior and decoder."""
    prior_class, decoder_class = model.pipeline_classes
    # A repository that holds both parts is asked for both of them at once.
    wanted: dict[str, dict[str, Part]] = {}
    for repo, parts in zip(model.hub, (PRIORS[prior_class], DECODERS[decoder_class]), strict=True):
        wanted[repo] = wanted.get(repo, {}) | parts
    return [
        snapshot(
            repo,
            lacks=partial(_lacks_parts, parts=wanted[repo]),
            revision=commit,
            parts=list(wanted[repo]),
            terms=model.terms,
            gigabytes=size,
        )
        for repo, commit, size in zip(model.hub, commits, model.sizes, strict=True)
    ]


def _lacks_parts(folder: Path, parts: Mapping[str, Part]) -> str:
    """Name the first file that is not in the folder of a pipeline; empty if all are there."""
    if not (folder / INDEX).is_file():
        return INDEX
    for name, part in parts.items():
        missing = lacking(folder / name, [part])
        if missing:
            return f"{name}/{missing}"
    return ""


def _lacks_stack(folder: Path) -> str:
    """Name the first file that is not in a folder that holds one pipeline or two of them."""
    pipelines = [folder] if (folder / INDEX).is_file() else [folder / part for part in PARTS]
    for pipeline in pipelines:
        if not (pipeline / INDEX).is_file():
            return INDEX
        name = _pipeline_class(pipeline)
        missing = _lacks_parts(pipeline, PRIORS.get(name, {}) | DECODERS.get(name, {}))
        if missing:
            return missing
    return ""


def _folder_or_snapshot(name_or_path: str | Path, revision: str | None) -> Snapshot:
    """Return a local folder if there is one of this name, and otherwise a repository's files."""
    if Path(name_or_path).is_dir():
        return Snapshot("", Path(name_or_path), "")
    return snapshot(str(name_or_path), _lacks_stack, revision)


def _is_whole_pipeline(folder: Path) -> bool:
    """Check if one pipeline in the folder is both the prior and the decoder."""
    if not (folder / INDEX).is_file():
        return False
    return _pipeline_class(folder) in PRIORS.keys() & DECODERS.keys()


def _join(name: str, parts: Sequence[Snapshot]) -> ModelFiles:
    """Combine prior and decoder. Raises InputError for another class's folders or missing ones."""
    classes = []
    for part, found, known in zip(PARTS, parts, (PRIORS, DECODERS), strict=True):
        pipeline_class = _pipeline_class(found.folder)
        if pipeline_class not in known:
            raise InputError(
                f"the {part} in {str(found.folder)!r} is a {pipeline_class}; expected "
                f"{', '.join(known)}"
            )
        wanted = known[pipeline_class]
        missing = [each for each in wanted if not (found.folder / each).is_dir()]
        if missing:
            raise InputError(
                f"the {part} in {str(found.folder)!r} lacks {', '.join(missing)}, which a "
                f"{pipeline_class} saves"
            )
        _read_parts(found.folder, wanted)
        classes.append(pipeline_class)
    prior, decoder = parts
    image_encoder = prior
    if not (prior.folder / "image_encoder").is_dir():
        image_encoder = snapshot(VIT_L, partial(lacking, parts=ENCODER), gigabytes=VIT_L_SIZE)
        for part in ENCODER:
            read_part(image_encoder.folder, part)
        parts = [*parts, image_encoder]
    commits = {part.repo: part.revision for part in parts if part.repo}
    return ModelFiles(
        name=name,
        prior=prior.folder,
        decoder=decoder.folder,
        image_encoder=image_encoder.folder,
        pipeline_classes=(classes[0], classes[1]),
        fingerprint=_fingerprint([part.folder for part in parts if not part.repo], commits),
        revisions=commits,
    )


def _read_parts(folder: Path, parts: Mapping[str, Part]) -> None:
    """Check the parts of a pipeline, and that its index names classes that they may have."""
    index = _read_index(folder)
    for name, part in parts.items():
        named = index.get(name)
        if named is not None and not (
            isinstance(named, list) and len(named) == 2 and named[1] in part.classes
        ):
            raise InputError(
                f"file {str(folder / INDEX)!r} names {shown(named)} as its {name}; expected "
                f"{', '.join(part.classes)}"
            )
        read_part(folder / name, part, root=folder)


def _fingerprint(folders: Sequence[Path], commits: Mapping[str, str]) -> str:
    """Hash the commits, and the names, sizes and times of the files in local folders.

    Sizes and times stand for the contents: hashing a real model's gigabytes would take longer than
    the work.
    """
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    text = json.dumps([sorted(commits.items()), stamps])
    return hashlib.sha256(text.encode()).hexdigest()


def _pipeline_class(folder: Path) -> str:
    """Read which pipeline class saved a folder. Raises InputError without a model_index.json."""
    name = _read_index(folder).get("_class_name")
    if not isinstance(name, str) or len(name) > 60:
        raise InputError(
            f"file {str(folder / INDEX)!r} has _class_name {shown(name)}; expected "
            f"{', '.join(PRIORS | DECODERS)}"
        )
    return name


def _read_index(folder: Path) -> dict[str, Any]:
    if not (folder / INDEX).is_file():
        raise InputError(
            f"model folder {str(folder)!r} has no {INDEX}, which every pipeline of diffusers saves"
        )
    return read_config(folder / INDEX, folder)

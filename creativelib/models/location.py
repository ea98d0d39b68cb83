"""Turn a model's name into checked files on disk, or into an error that says what is missing."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import InputError, nearest
from .hub import Snapshot, snapshot
from .names import BUNDLED_STACKS, DECODERS, MODELS, PARTS, PRIORS, VIT_L, VIT_L_SIZE, Model


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
    bundled files that are missing or damaged, and as `hub.snapshot` does.
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
        if not (whole.folder / part / "model_index.json").is_file():
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


def verify(folder: Path) -> str:
    """Compare every file in the folder's sha256.json with its sum, and return a fingerprint of all.

    Raises InputError for a file that is missing or damaged.
    """
    sums = folder / "sha256.json"
    if not sums.is_file():
        raise InputError(f"the bundled model's file {sums} is missing; install creativelib again")
    text = sums.read_text(encoding="utf-8")
    for path, expected in json.loads(text).items():
        file = folder / path
        if not file.is_file():
            raise InputError(
                f"the bundled model's file {file} is missing; install creativelib again"
            )
        if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise InputError(
                f"the bundled model's file {file} is damaged; install creativelib again"
            )
    return hashlib.sha256(text.encode()).hexdigest()


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
    wanted: dict[str, list[str]] = {}
    for repo, folders in zip(
        model.hub, (PRIORS[prior_class], DECODERS[decoder_class]), strict=True
    ):
        wanted.setdefault(repo, []).extend(folders)
    return [
        snapshot(repo, commit, wanted[repo], model.terms, size)
        for repo, commit, size in zip(model.hub, commits, model.sizes, strict=True)
    ]


def _folder_or_snapshot(name_or_path: str | Path, revision: str | None) -> Snapshot:
    """Return a local folder if there is one of this name, and otherwise a repository's files."""
    if Path(name_or_path).is_dir():
        return Snapshot("", Path(name_or_path), "")
    return snapshot(str(name_or_path), revision)


def _is_whole_pipeline(folder: Path) -> bool:
    """Check if one pipeline in the folder is both the prior and the decoder."""
    if not (folder / "model_index.json").is_file():
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
        missing = [each for each in known[pipeline_class] if not (found.folder / each).is_dir()]
        if missing:
            raise InputError(
                f"the {part} in {str(found.folder)!r} lacks {', '.join(missing)}, which a "
                f"{pipeline_class} saves"
            )
        classes.append(pipeline_class)
    prior, decoder = parts
    image_encoder = prior
    if not (prior.folder / "image_encoder").is_dir():
        image_encoder = snapshot(VIT_L, gigabytes=VIT_L_SIZE)
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
    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(
            f"model folder {str(folder)!r} has no model_index.json, which every pipeline of "
            "diffusers saves"
        )
    return json.loads(index.read_text(encoding="utf-8"))["_class_name"]

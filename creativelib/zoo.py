"""Which models there are: a name becomes checked files on disk, or an error that says what is missing."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import InputError
from .hub import Snapshot, snapshot

PARTS = ("prior", "decoder")
# Where each pipeline class of diffusers keeps what a part is made of.
PRIORS = {"KandinskyV22PriorPipeline": ("tokenizer", "text_encoder", "image_encoder", "image_processor", "prior", "scheduler"),
          "KandinskyPriorPipeline": ("tokenizer", "text_encoder", "image_encoder", "image_processor", "prior", "scheduler"),
          "UnCLIPPipeline": ("tokenizer", "text_encoder", "prior", "prior_scheduler")}
DECODERS = {"KandinskyV22Pipeline": ("unet", "movq", "scheduler"),
            "KandinskyPipeline": ("tokenizer", "text_encoder", "unet", "movq", "scheduler"),
            "UnCLIPPipeline": ("decoder", "text_proj", "super_res_first", "super_res_last", "decoder_scheduler", "super_res_scheduler")}
# Karlo's repository has no image encoder. It was trained with OpenAI's ViT-L/14, which diffusers takes for it as well
# (scripts/convert_unclip_txt2img_to_image_variation.py).
VIT_L, VIT_L_SIZE = "openai/clip-vit-large-patch14", 1.7


@dataclass(frozen=True)
class Model:
    """What is known about a model before it is loaded. `folder` is set when its files ship with the package, `hub` names the repositories
    of its prior and its decoder, which are pipelines of the classes `kinds`; `sizes` are what these are to download, in GB. `memory` is the
    GB of a GPU that it takes in half precision, four pictures at once (benchmarks/memory.py), 0 where a CPU is enough."""

    name: str
    about: str
    licence: str
    memory: float = 0.0
    sizes: tuple[float, float] = (0.0, 0.0)
    folder: Path | None = None
    hub: tuple[str, str] = ("", "")
    kinds: tuple[str, str] = ("KandinskyV22PriorPipeline", "KandinskyV22Pipeline")

    @property
    def download(self) -> float:
        """All of it, in GB."""
        return sum(self.sizes)

    @property
    def terms(self) -> str:
        """What a reader has to know before the download."""
        return (f"{self.about}: about {self.download:.0f} GB to download, from {' and '.join(dict.fromkeys(self.hub))}. "
                f"Licence: {self.licence}. It needs a GPU with about {self.memory:.0f} GB, in half precision.")


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("menagerie", "a tiny unCLIP stack trained on the Menagerie, whose true probabilities are known", "Apache-2.0",
              folder=Path(__file__).parent / "checkpoints" / "menagerie"),
        Model("kandinsky-2-1", "Kandinsky 2.1", "Apache-2.0", 9.0, (5.8, 7.4),
              hub=("kandinsky-community/kandinsky-2-1-prior", "kandinsky-community/kandinsky-2-1"),
              kinds=("KandinskyPriorPipeline", "KandinskyPipeline")),
        Model("kandinsky-2-2", "Kandinsky 2.2", "Apache-2.0", 13.0, (10.6, 5.3),
              hub=("kandinsky-community/kandinsky-2-2-prior", "kandinsky-community/kandinsky-2-2-decoder")),
        Model("karlo", "Karlo v1 alpha", "CreativeML Open RAIL-M, which restricts what it may be used for", 11.0,
              (13.8, VIT_L_SIZE),  # one repository for both, and another for the image encoder
              hub=("kakaobrain/karlo-v1-alpha", "kakaobrain/karlo-v1-alpha"),
              kinds=("UnCLIPPipeline", "UnCLIPPipeline")),
        Model("menagerie-128", "the same in 128 x 128 pixels, drawn more finely; the chapters' numbers are the smaller one's",
              "Apache-2.0", folder=Path(__file__).parent / "checkpoints" / "menagerie-128"),
    )
}


@dataclass(frozen=True)
class Located:
    """A model's parts on disk, in the layouts of the pipeline classes `kinds`; `eyes` holds its image encoder. `fingerprint` changes when
    its files do; `revisions` are the commits of what came from the hub; `has_truth`: it was trained on the Menagerie."""

    name: str
    prior: Path
    decoder: Path
    eyes: Path
    kinds: tuple[str, str]
    fingerprint: str
    has_truth: bool = False
    revisions: Mapping[str, str] = field(default_factory=dict)


def locate(name_or_path: str | Path | tuple[str | Path, str | Path],
           revision: str | tuple[str | None, str | None] | None = None) -> Located:
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
            raise InputError(f"revision is {revision!r}; allowed is None for {model.name!r}, which ships with the package")
        prior, decoder = (model.folder / part for part in PARTS)
        return Located(model.name, prior, decoder, prior, model.kinds, verify(model.folder), has_truth=True)
    if model is not None:
        wanted: dict[str, list[str]] = {}
        for repo, parts in zip(model.hub, (PRIORS[model.kinds[0]], DECODERS[model.kinds[1]]), strict=True):
            wanted.setdefault(repo, []).extend(parts)
        return _joined(model.name, [snapshot(repo, at, wanted[repo], model.terms, size)
                                    for repo, at, size in zip(model.hub, commits, model.sizes, strict=True)])
    if isinstance(name_or_path, tuple):
        return _joined(Path(name_or_path[1]).name, [_found(part, at) for part, at in zip(name_or_path, commits, strict=True)])
    if not Path(name_or_path).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name_or_path)):
        raise InputError(f"model {str(name_or_path)!r} is neither a known name nor a folder; known names: {', '.join(MODELS)}")
    whole = _found(name_or_path, commits[0])
    if (whole.folder / "model_index.json").is_file() and _kind(whole.folder) in PRIORS.keys() & DECODERS.keys():
        return _joined(Path(name_or_path).name, [whole, whole])
    for part in PARTS:
        if not (whole.folder / part / "model_index.json").is_file():
            raise InputError(f"model folder {str(whole.folder)!r} has no {part}/model_index.json; it must hold prior/ and decoder/ as "
                             "KandinskyV22PriorPipeline and KandinskyV22Pipeline save them, or those of Kandinsky 2.1, or be an "
                             "UnCLIPPipeline")
    return _joined(Path(name_or_path).name, [replace(whole, folder=whole.folder / part) for part in PARTS])


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


def _found(name_or_path: str | Path, revision: str | None) -> Snapshot:
    """A folder, or what the hub has by this id."""
    return Snapshot("", Path(name_or_path), "") if Path(name_or_path).is_dir() else snapshot(str(name_or_path), revision)


def _joined(name: str, parts: list[Snapshot]) -> Located:
    """What the two parts are together. Raises InputError for folders that hold something else."""
    kinds = []
    for part, found, known in zip(PARTS, parts, (PRIORS, DECODERS), strict=True):
        kind = _kind(found.folder)
        if kind not in known:
            raise InputError(f"the {part} in {str(found.folder)!r} is a {kind}; allowed are {', '.join(known)}")
        if missing := [each for each in known[kind] if not (found.folder / each).is_dir()]:
            raise InputError(f"the {part} in {str(found.folder)!r} lacks {', '.join(missing)}, which a {kind} saves")
        kinds.append(kind)
    if not (parts[0].folder / "image_encoder").is_dir():
        parts = [*parts, snapshot(VIT_L, gigabytes=VIT_L_SIZE)]
    eyes = parts[-1].folder if len(parts) > 2 else parts[0].folder
    commits = {part.repo: part.revision for part in parts if part.repo}
    # Sizes and times stand for the contents: hashing a real model's gigabytes would take longer than the work.
    files = [file for part in parts if not part.repo for file in sorted(part.folder.rglob("*")) if file.is_file()]
    seen = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    fingerprint = hashlib.sha256(json.dumps([sorted(commits.items()), seen]).encode()).hexdigest()
    return Located(name, parts[0].folder, parts[1].folder, eyes, (kinds[0], kinds[1]), fingerprint, revisions=commits)


def _kind(folder: Path) -> str:
    """The pipeline class whose files a folder holds. Raises InputError for one without model_index.json."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(f"model folder {str(folder)!r} has no model_index.json, which every pipeline of diffusers saves")
    return json.loads(index.read_text())["_class_name"]

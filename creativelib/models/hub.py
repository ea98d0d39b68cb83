"""From a model's id on the Hugging Face hub to a folder of its files: those in the cache, or a download of no more than what is read."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

# What is read: weights as safetensors, never pickles; configurations; tokenizers. Weights in half precision are kept beside the others.
KINDS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
TWICE = ("*.fp16.*",)


@dataclass(frozen=True)
class Snapshot:
    """The files of one commit of a repository, whose hash is `revision`; of a folder that is no repository's both are empty."""

    repo: str
    folder: Path
    revision: str


def snapshot(
    repo: str,
    revision: str | None = None,
    parts: Sequence[str] = (),
    terms: str = "",
    gigabytes: float = 0.0,
) -> Snapshot:
    """The files of a repository such as "kandinsky-community/kandinsky-2-1-prior", of some of its folders if `parts` are named.

    What the cache holds is taken from there, without asking the hub whether there is anything newer. Otherwise `terms` are printed, which
    say what the download is, how large and under which licence, and then it is downloaded. `revision` is a branch, a tag or a commit's
    hash; only the hash pins what is loaded. Raises InputError for an id or a revision that does not exist, where `gigabytes` do not fit on
    the disk, and without a network.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    wanted: list[str] = (
        [f"{part}/{kind}" for part in parts for kind in KINDS] + ["model_index.json"]
        if parts
        else list(KINDS)
    )

    def get(local: bool) -> Path:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=wanted,
                ignore_patterns=list(TWICE),
                local_files_only=local,
            )
        )

    try:
        found = get(local=True)
        complete = _complete(found, parts)
    except HFValidationError as error:
        raise InputError(
            f"model {repo!r} is no id of a repository on the hub ({_first(error)}); expected OWNER/NAME and an existing "
            "folder"
        ) from None
    except LocalEntryNotFoundError:
        complete = False
    if not complete:
        cache = Path(constants.HF_HUB_CACHE)
        free = (
            shutil.disk_usage(
                next(folder for folder in (cache, *cache.parents) if folder.exists())
            ).free
            / 1e9
        )
        if free < gigabytes:
            raise InputError(
                f"model {repo!r} is a download of {gigabytes:.1f} GB, and {cache} has room for {free:.1f}; set HF_HOME to a "
                "folder on a larger disk"
            )
        if terms and not constants.HF_HUB_OFFLINE:
            print(f"{terms} Now come {gigabytes:.1f} GB from {repo}.")
        try:
            found = get(local=False)
            if not _complete(found, parts):
                raise OSError("weights in safetensors are missing")
        except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            which = f"{repo!r} at revision {revision!r}" if revision else repr(repo)
            raise InputError(
                f"model {which} is not whole in the cache at {cache} and cannot be downloaded ({type(error).__name__}: "
                f"{_first(error)}); check its name and the network, or give the path of a folder that holds it"
            ) from None
    return Snapshot(repo, found, found.name)


def _complete(folder: Path, parts: Sequence[str]) -> bool:
    """Whether all parts are there, and where there is a network's configuration, its weights: a download may have been cut off."""
    roots = [folder / part for part in parts] or [folder]
    weights = all(
        any(root.glob("*.safetensors")) for root in roots if (root / "config.json").is_file()
    )
    return weights and all(root.is_dir() for root in roots) and any(folder.rglob("*.safetensors"))


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"

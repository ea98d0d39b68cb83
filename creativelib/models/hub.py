"""Find a model of the Hugging Face hub in the cache, or download the files that are read."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .folders import hint

# The files that are read: configurations, weights in safetensors (never pickles), tokenizers.
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
# Repositories hold half-precision copies of the same weights.
DUPLICATES = ("*.fp16.*",)


@dataclass(frozen=True)
class Snapshot:
    """The files of one commit of a repository.

    `revision` is the commit's hash. Both `repo` and `revision` are empty for a local folder.
    """

    repo: str
    folder: Path
    revision: str


def snapshot(
    repo: str,
    lacks: Callable[[Path], str],
    revision: str | None = None,
    parts: Sequence[str] = (),
    terms: str = "",
    gigabytes: float = 0.0,
) -> Snapshot:
    """Return the files of a repository such as "kandinsky-community/kandinsky-2-1-prior".

    Files in the cache are used without asking the hub for newer ones. Missing files are downloaded.

    lacks: names the first file that is needed and not in a folder; empty if all are there. What
        other programs left in the cache is completed by that.
    revision: a branch, a tag or a commit's hash. Only a hash pins the files.
    parts: the folders to download; by default the whole repository.
    terms: size and license of the download, printed before it.
    gigabytes: size of the download, compared with the free disk space before it.

    Raises InputError for an id or a revision that does not exist, for a download that does not fit
    on the disk, for missing files without a network, and for a repository without them.
    """
    from httpx import HTTPError
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    patterns: list[str] = list(PATTERNS)
    if parts:
        patterns = [f"{part}/{pattern}" for part in parts for pattern in PATTERNS]
        patterns.append("model_index.json")

    def fetch(*, cached: bool) -> Path:
        folder = snapshot_download(
            repo,
            revision=revision,
            allow_patterns=patterns,
            ignore_patterns=list(DUPLICATES),
            local_files_only=cached,
        )
        return Path(folder)

    try:
        folder = fetch(cached=True)
    except HFValidationError as error:
        raise InputError(
            f"model {repo!r} is not the id of a repository on the hub ({_first_line(error)}); "
            "expected OWNER/NAME or an existing folder"
        ) from None
    except LocalEntryNotFoundError:
        folder = None
    if folder is not None and not lacks(folder):
        return Snapshot(repo, folder, folder.name)
    cache = Path(constants.HF_HUB_CACHE)
    free = _free_gigabytes(cache)
    if free < gigabytes:
        raise InputError(
            f"model {repo!r} is a download of {gigabytes:.1f} GB, and {cache} has room for "
            f"{free:.1f}; set HF_HOME to a folder on a larger disk"
        )
    if terms and not constants.HF_HUB_OFFLINE:
        print(f"{terms} Now come {gigabytes:.1f} GB from {repo}.")
    try:
        folder = fetch(cached=False)
        missing = lacks(folder)
        if missing:
            raise OSError(f"it lacks {missing}{hint(folder, missing)}")
    except (
        HTTPError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        OSError,
    ) as error:
        which = f"{repo!r} at revision {revision!r}" if revision else repr(repo)
        raise InputError(
            f"model {which} is not whole in the cache at {cache} and cannot be downloaded "
            f"({type(error).__name__}: {_first_line(error)}); check its name and the network, or "
            "give the path of a folder that holds it"
        ) from None
    return Snapshot(repo, folder, folder.name)


def _free_gigabytes(cache: Path) -> float:
    """Return the free disk space for a folder that may not exist yet."""
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return shutil.disk_usage(existing).free / 1e9


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else "no reason given"

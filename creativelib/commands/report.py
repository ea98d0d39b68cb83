"""Describe generated pictures: how rare they are and, if the truth is known, how valid and new."""

import math
import platform
import statistics
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..density import Density
from ..unclip.pipeline import Pipeline

# Most pictures of a run: they are held in memory. More are several runs with seeds of their own.
MOST_PICTURES = 100_000
# Fields of the oracle's judgment that reports contain.
TRUTH = ("valid", "novel_in_form", "novel_in_surface", "log_prob")


def describe(
    kind: str,
    z: Float[Tensor, "n d"],
    pictures: Float[Tensor, "n 3 h w"],
    density: Density,
    pipe: Pipeline,
    category: str | None,
) -> list[dict[str, Any]]:
    """Return one row per picture: file name, surprisal (nats), percentile, the oracle's judgment.

    `surprisal` is that of the embedding that was drawn, `surprisal_seen` that of the embedding that
    CLIP computes from the picture. The oracle judges only pictures of a category of its world.
    """
    surprisal = density.surprisal(z)
    columns: dict[str, Tensor] = {
        "surprisal": surprisal,
        "percentile": density.percentile_of(surprisal),
        "surprisal_seen": density.surprisal(pipe.encode_images(pictures)),
    }
    if pipe.has_truth and category is not None:
        from ..world.oracle import Oracle

        judgment = Oracle.load().judge(pictures.cpu(), category)
        columns |= {name: getattr(judgment, name) for name in TRUTH}
    values = {name: column.tolist() for name, column in columns.items()}
    files = [f"{kind}-{i:02d}.png" for i in range(len(z))]
    return [
        {"file": file, "kind": kind, **{name: json_value(values[name][i]) for name in values}}
        for i, file in enumerate(files)
    ]


def summarize(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Compute medians of numbers and shares of true values, over all rows that have a value."""
    names = [name for name in rows[0] if name not in ("file", "kind")]
    columns = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    return {
        name: statistics.fmean(column) if isinstance(column[0], bool) else statistics.median(column)
        for name, column in columns.items()
        if column
    }


def json_value(value: float | bool) -> float | bool | None:
    """Round a value for JSON, which has no numbers that are not finite: they become None."""
    if isinstance(value, bool):
        return value
    return round(value, 3) if math.isfinite(value) else None


def provenance(pipe: Pipeline) -> dict[str, Any]:
    """Return the part of a report that says which model and which versions made it."""
    return {
        "model": {
            "name": pipe.name,
            "fingerprint": pipe.fingerprint,
            "revisions": dict(pipe.revisions),
            "device": str(pipe.device),
            "dtype": str(pipe.dtype).removeprefix("torch."),
        },
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, creativelib and the libraries that results depend on."""
    from .. import __version__

    return {
        "python": platform.python_version(),
        "creativelib": __version__,
        "torch": torch.__version__,
        **{name: version(name) for name in ("diffusers", "transformers")},
    }

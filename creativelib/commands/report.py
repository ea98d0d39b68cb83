"""What can be said of made pictures: how rare under a density, and, where the world's truth is known, how valid, new and likely."""

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


def describe(
    kind: str,
    z: Float[Tensor, "n d"],
    pictures: Float[Tensor, "n 3 h w"],
    density: Density,
    pipe: Pipeline,
    category: str | None,
) -> list[dict[str, Any]]:
    """One row for each picture: its file's name, its surprisal (nats) and percentile, and the oracle's judgement if the world has one.

    `surprisal` is the drawn embedding's; `surprisal_seen` is that of the embedding which CLIP reads back from the picture.
    """
    surprisal = density.surprisal(z)
    columns: dict[str, Tensor] = {
        "surprisal": surprisal,
        "percentile": density.percentile_of(surprisal),
        "surprisal_seen": density.surprisal(pipe.encode_images(pictures)),
    }
    if pipe.has_truth and category is not None:
        from ..world.oracle import Oracle

        judgement = Oracle.load().judge(pictures.cpu(), category)
        columns |= {
            name: getattr(judgement, name)
            for name in ("valid", "novel_in_form", "novel_in_surface", "log_prob")
        }
    values = {name: column.tolist() for name, column in columns.items()}
    files = [f"{kind}-{i:02d}.png" for i in range(len(z))]
    return [
        {"file": file, "kind": kind, **{name: json_value(values[name][i]) for name in values}}
        for i, file in enumerate(files)
    ]


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of what is measured, shares of what is true or false."""
    names = [name for name in rows[0] if name not in ("file", "kind")]
    columns = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    return {
        name: statistics.fmean(column) if isinstance(column[0], bool) else statistics.median(column)
        for name, column in columns.items()
        if column
    }


def json_value(value: float | bool) -> float | bool | None:
    """A value as JSON can hold it: rounded, and None where it is not finite."""
    if isinstance(value, bool):
        return value
    return round(value, 3) if math.isfinite(value) else None


def versions() -> dict[str, str]:
    """What ran: Python, creativelib and the libraries its results depend on."""
    from .. import __version__

    return {
        "python": platform.python_version(),
        "creativelib": __version__,
        "torch": torch.__version__,
        **{name: version(name) for name in ("diffusers", "transformers")},
    }

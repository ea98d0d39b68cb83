"""Read the committed results of the benchmarks.

Chapters quote them where a measurement takes too long for a page.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import one_of

# In a wheel the results lie within the package, in a clone beside it.
ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT / "stored_results", ROOT.parent / "benchmarks" / "results")


@dataclass(frozen=True)
class Figure:
    """A measured number."""

    value: float
    unit: str
    # Bounds with 95 % confidence, if the value was estimated from a sample.
    low: float | None
    high: float | None
    # The value that was required or claimed, if any.
    bar: float | None
    # Whether the value reaches the bar.
    holds: bool | None


def figures(name: str) -> dict[str, Figure]:
    """Read all figures of benchmarks/results/NAME.json, by name.

    Raises InputError if there is no such file.
    """
    rows = json.loads(_find(name, ".json").read_text(encoding="utf-8"))["figures"]
    return {
        row["name"]: Figure(
            value=row["value"],
            unit=row["unit"],
            low=row["low"],
            high=row["high"],
            bar=row["bar"],
            holds=row["holds"],
        )
        for row in rows
    }


def results(name: str) -> list[dict[str, Any]]:
    """Read the rows of benchmarks/results/NAME-runs.csv, as `metrics.table.compare` takes them.

    Raises InputError if there is no such file.
    """
    import pandas as pd

    return pd.read_csv(_find(name, "-runs.csv")).to_dict("records")


def _find(name: str, ending: str) -> Path:
    """Return the path of a file of results. Raises InputError if there is none of this name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    names = sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))
    one_of("name", name, names)
    return folder / f"{name}{ending}"

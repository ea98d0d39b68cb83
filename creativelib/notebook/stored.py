"""What this book's benchmarks have measured: their committed results, which chapters show where a measurement is too long for a page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

# In a wheel the results lie within the package, in a clone beside it.
ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT / "stored_results", ROOT.parent / "benchmarks" / "results")


@dataclass(frozen=True)
class Figure:
    """A measured number; `low` and `high` bound it with 95 % confidence where it was estimated from a sample. `bar` is what was asked for
    or claimed, None where nothing was, and `holds` says whether the value reaches it."""

    value: float
    unit: str
    low: float | None
    high: float | None
    bar: float | None
    holds: bool | None


def _file(name: str, ending: str) -> Path:
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    if not (folder / f"{name}{ending}").is_file():
        known = sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))
        raise InputError(f"name is {name!r}; expected {', '.join(known)}")
    return folder / f"{name}{ending}"


def figures(name: str) -> dict[str, Figure]:
    """All figures of benchmarks/results/NAME.json by their names. Raises InputError for another name."""
    figures = json.loads(_file(name, ".json").read_text())["figures"]
    return {
        f["name"]: Figure(*(f[name] for name in ("value", "unit", "low", "high", "bar", "holds")))
        for f in figures
    }


def results(name: str) -> list[dict[str, Any]]:
    """All runs of benchmarks/results/NAME-runs.csv as rows, as `metrics.table.compare` takes them. Raises InputError for another name."""
    import pandas as pd

    return pd.read_csv(_file(name, "-runs.csv")).to_dict("records")

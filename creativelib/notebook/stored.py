"""Read the committed results of the benchmarks.

Chapters quote them where a measurement takes too long for a page.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import one_of

# In a wheel the results lie within the package, in a clone beside it.
ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT / "stored_results", ROOT.parent / "benchmarks" / "results")

# What was measured before names said whose eyes it is measured by: old names, and those of today.
RENAMED = {"FID": "Frechet distance, judge"}
# Metrics that see too little, which are measured no more.
RETIRED = ("KID", "KID's standard error", "CLIP: JS above its floor")


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
    # Whether the value reaches the bar; None also if the two are not comparable.
    holds: bool | None


def figures(name: str) -> dict[str, Figure]:
    """Read all figures of benchmarks/results/NAME.json, by name.

    Raises InputError if there is no such file.
    """
    rows = read_report(_find(name, ".json"))["figures"]
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

    Columns have today's names, and those of retired metrics are left out. Raises InputError if
    there is no such file.
    """
    import pandas as pd

    frame = pd.read_csv(_find(name, "-runs.csv"))
    return (
        frame.drop(columns=list(RETIRED), errors="ignore")
        .rename(columns=RENAMED)
        .to_dict("records")
    )


def read_report(file: Path) -> dict[str, Any]:
    """Read a file of results by today's names, without the figures of retired metrics."""
    report = json.loads(file.read_text(encoding="utf-8"))
    report["figures"] = [
        _renamed(figure)
        for figure in report["figures"]
        if not any(re.search(rf"\b{name}\b", figure["name"]) for name in RETIRED)
    ]
    return report


def _renamed(figure: dict[str, Any]) -> dict[str, Any]:
    name = figure["name"]
    for old, new in RENAMED.items():
        name = re.sub(rf"\b{old}\b", new, name)
    # A bar on the FID is one of Inception's, and what was measured by others is not comparable.
    return figure if name == figure["name"] else figure | {"name": name, "holds": None}


def _find(name: str, ending: str) -> Path:
    """Return the path of a file of results. Raises InputError if there is none of this name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    names = sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))
    one_of("name", name, names)
    return folder / f"{name}{ending}"

"""Write the model card's tables from the files that training and benchmarks leave; `make book` does it.

creativelib/checkpoints/menagerie/training.json holds, by model, the facts of a training run, or of several by name:
    {"clip": {"steps": 2600, "batch": 128, "seconds": 1200, ...}, "vqmodel": {"together": {...}, "decoder": {...}}}
benchmarks/results/models.json holds what was measured on fresh pictures:
    {"rows": [{"model": "CLIP", "figure": "zero-shot species", "value": 0.97, "at_least": 0.95, "unit": "%"}, ...]}
with `at_most` for a figure that should be small; the unit "%" belongs to shares in [0, 1].
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "creativelib" / "checkpoints" / "menagerie"
FIGURES = ROOT / "benchmarks" / "results" / "models.json"
PAGE = ROOT / "book" / "model-card-tables.md"
MISSING = "*Not measured yet.*"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def training(facts: dict[str, Any]) -> str:
    """One row for each run: a model's facts, or those of each of its runs by name."""
    runs = {}
    for model, entry in facts.items():
        runs |= {model: entry} if "steps" in entry else {f"{model}, {name}": run for name, run in entry.items() if "steps" in run}
    rows = [[name, f"{run['steps']:,}", f"{run['batch']}", f"{run['seconds'] / 60:.0f}", f"{run['seed']}"] for name, run in runs.items()]
    return table(["model", "steps", "batch", "minutes", "seed"], rows)


def figures(rows: list[dict[str, Any]]) -> str:
    """One row for each figure, with what was asked of it."""
    cells = []
    for row in rows:
        sign, bar = ("at least", row["at_least"]) if "at_least" in row else ("at most", row["at_most"])
        met = row["value"] >= bar if sign == "at least" else row["value"] <= bar
        measured, asked = quantity(row["value"], row["unit"]), f"{sign} {quantity(bar, row['unit'])}"
        cells.append([row["model"], row["figure"], measured, asked, "yes" if met else "**no**"])
    return table(["model", "figure", "measured", "asked", "met"], cells)


def quantity(value: float, unit: str) -> str:
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.3g} {unit}".strip()


def sizes(folder: Path) -> str:
    """The bundled files' sizes, folder by folder."""
    weights = sorted(folder.rglob("*.safetensors"))
    rows = [[f"`{file.relative_to(folder).as_posix()}`", f"{file.stat().st_size / 2**20:.1f}"] for file in weights]
    total = sum(file.stat().st_size for file in weights) / 2**20
    return table(["file", "MiB"], [*rows, ["together", f"{total:.1f}"]]) if weights else MISSING


def page() -> str:
    """The tables as Markdown; what is not there yet is said to be missing."""
    facts, results = WEIGHTS / "training.json", FIGURES
    parts = {
        "Training runs": training(json.loads(facts.read_text())) if facts.is_file() else MISSING,
        "Figures on fresh pictures": figures(json.loads(results.read_text())["rows"]) if results.is_file() else MISSING,
        "Files": sizes(WEIGHTS),
    }
    return "\n".join(f"## {title}\n\n{text}\n" for title, text in parts.items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

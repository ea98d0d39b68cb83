"""Write the model card's tables from the files of trainings and benchmarks; `make book` runs this.

creativelib/checkpoints/STACK/training.json holds, by model, the facts of a training run, or of
several runs by name:

    {"clip": {"steps": 2600, "batch": 128, "seconds": 1200, ...},
     "vqmodel": {"together": {...}, "decoder": {...}}}

benchmarks/results/models.json, and models-menagerie-128.json of the second stack, hold the figures
that benchmarks/models/bundled.py measured on fresh pictures, as benchmarks/figures.py writes them:

    {"machine": "...", "seed": 0, "commit": "...",
     "figures": [{"name": "CLIP: species", "value": 97.0, "unit": "%", "bar": 95, "holds": true,
                  "low": 96.1, "high": 97.7}, ...]}
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "creativelib" / "checkpoints"
RESULTS = ROOT / "benchmarks" / "results"
# The file of figures and the page of tables of each stack that ships.
STACKS = {
    "menagerie": ("models.json", "model-card-tables.md"),
    "menagerie-128": ("models-menagerie-128.json", "model-card-128-tables.md"),
}
MISSING = "*Not measured yet.*"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Format a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def training(facts: dict[str, Any]) -> str:
    """Format the facts of training runs, one row for each run."""
    runs = {}
    for model, entry in facts.items():
        if "steps" in entry:
            runs[model] = entry
        else:
            runs |= {f"{model}, {name}": run for name, run in entry.items() if "steps" in run}
    rows = [
        [
            name,
            f"{run['steps']:,}",
            f"{run['batch']}",
            f"{run['seconds'] / 60:.0f}",
            f"{run['seed']}",
        ]
        for name, run in runs.items()
    ]
    return table(["model", "steps", "batch", "minutes", "seed"], rows)


def figures(report: dict[str, Any], script: str = "models/bundled.py") -> str:
    """Format figures, one row each, with their 95 % intervals and their bars, if they have any."""
    rows = []
    for figure in report["figures"]:
        value = figure["value"]
        bar = figure["bar"]
        unit = figure["unit"]
        interval = (
            "" if figure["low"] is None else f" ({figure['low']:.4g} to {figure['high']:.4g})"
        )
        asked = ""
        met = ""
        if bar is not None:
            # A bar that is met from above is a lower one.
            asked = f"{'at least' if (value >= bar) == figure['holds'] else 'at most'} {bar:g}"
            met = "yes" if figure["holds"] else "**no**"
        rows.append([figure["name"], f"{value:.4g}{interval}", unit, asked, met])
    source = (
        f"Measured by `benchmarks/{script}` on {report['machine']}, with seed {report['seed']}, "
        f"at commit `{report['commit']}`."
    )
    head = ["figure", "measured (95 % interval)", "unit", "asked", "met"]
    return f"{table(head, rows)}\n\n{source}"


def sizes(folder: Path) -> str:
    """Format the sizes of a stack's weights, folder by folder."""
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        return MISSING
    rows = [
        [f"`{file.relative_to(folder).as_posix()}`", f"{file.stat().st_size / 2**20:.1f}"]
        for file in weights
    ]
    total = sum(file.stat().st_size for file in weights) / 2**20
    return table(["file", "MiB"], [*rows, ["together", f"{total:.1f}"]])


def page(folder: Path, results: Path) -> str:
    """Format a stack's tables as Markdown, with a note for those that were not measured yet."""
    facts = folder / "training.json"
    runs = training(json.loads(facts.read_text(encoding="utf-8"))) if facts.is_file() else MISSING
    measured = (
        figures(json.loads(results.read_text(encoding="utf-8"))) if results.is_file() else MISSING
    )
    parts = {
        "Training runs": runs,
        "Figures on fresh pictures": measured,
        "Files": sizes(folder),
    }
    return "\n".join(f"### {title}\n\n{text}\n" for title, text in parts.items())


def pages() -> dict[Path, str]:
    """Return the text of each stack's tables by the file it belongs into."""
    return {
        ROOT / "book" / tables: page(CHECKPOINTS / stack, RESULTS / measured)
        for stack, (measured, tables) in STACKS.items()
    }


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8", newline="\n")

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

from layouts import MISSING, figures, source

from creativelib.notebook.tables import show_table

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "creativelib" / "checkpoints"
RESULTS = ROOT / "benchmarks" / "results"
# The file of figures and the page of tables of each stack that ships.
STACKS = {
    "menagerie": ("models.json", "model-card-tables.md"),
    "menagerie-128": ("models-menagerie-128.json", "model-card-128-tables.md"),
}


def training(facts: dict[str, Any], stack: str) -> str:
    """Format the facts of training runs, one row for each run."""
    runs = {}
    for model, entry in facts.items():
        if "steps" in entry:
            runs[model] = entry
        else:
            runs |= {f"{model}, {name}": run for name, run in entry.items() if "steps" in run}
    rows = {
        name: {
            "steps": run["steps"],
            "batch": run["batch"],
            "minutes": round(run["seconds"] / 60),
            "seed": run["seed"],
        }
        for name, run in runs.items()
    }
    return show_table(rows, f"How the models of `{stack}` were trained.", "model")._repr_html_()


def measured(report: dict[str, Any], stack: str) -> str:
    """Format what was measured of a stack's models."""
    table = figures(report["figures"], f"The models of `{stack}` on fresh pictures.")
    return f"{table._repr_html_()}\n\n{source('models/bundled.py', report)}"


def sizes(folder: Path) -> str:
    """Format the sizes of a stack's weights, folder by folder."""
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        return MISSING
    rows = {
        f"`{file.relative_to(folder).as_posix()}`": {"MiB": file.stat().st_size / 2**20}
        for file in weights
    }
    rows["together"] = {"MiB": sum(file.stat().st_size for file in weights) / 2**20}
    caption = f"Files of `{folder.name}`."
    return show_table(rows, caption, "file", formats={"MiB": ".1f"})._repr_html_()


def page(folder: Path, results: Path) -> str:
    """Format a stack's tables as Markdown, with a note for those that were not measured yet."""
    facts = folder / "training.json"
    stack = folder.name
    trained = (
        training(json.loads(facts.read_text(encoding="utf-8")), stack)
        if facts.is_file()
        else MISSING
    )
    found = (
        measured(json.loads(results.read_text(encoding="utf-8")), stack)
        if results.is_file()
        else MISSING
    )
    parts = {
        "Training runs": trained,
        "Figures on fresh pictures": found,
        "Files": sizes(folder),
    }
    return "\n".join(f"### {title}\n\n{text}\n" for title, text in parts.items())


def pages() -> dict[Path, str]:
    """Return the text of each stack's tables by the file it belongs into."""
    return {
        ROOT / "book" / tables: page(CHECKPOINTS / stack, RESULTS / figures_file)
        for stack, (figures_file, tables) in STACKS.items()
    }


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8", newline="\n")

"""Write the tables of measurements from benchmarks/results; `make book` runs this.

Most figures are named "way: quantity", where a way is a method or a setting. They fill tables with
a row for each way and a column for each quantity. Figures with a bar come first, in a table of
their own.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from make_model_card import MISSING, figures, table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "book" / "measurement-tables.md"


def shown(figure: dict[str, Any]) -> str:
    """Format a value with its interval, if it has one."""
    if figure["low"] is None:
        return f"{figure['value']:.3g}"
    # Word joiners keep an interval on one line. A dash beside a minus confuses.
    between = "\u2060–\u2060" if figure["low"] >= 0 else "\u00a0to\u00a0"
    return f"{figure['value']:.3g} ({figure['low']:.3g}{between}{figure['high']:.3g})"


def pivot(found: list[dict[str, Any]], corner: str, between: str = ": ") -> str:
    """Format a table with a row for each way and a column for each quantity, as they first appear.

    `between` separates ways and quantities in the figures' names. A table of few ways is turned.
    """
    cells = {tuple(f["name"].split(between, 1)): f for f in found}
    rows, columns = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    units = {
        column: next(f["unit"] for key, f in cells.items() if key[1] == column)
        for column in columns
    }
    titles = [f"{column}, {units[column]}" if units[column] else column for column in columns]
    values = [[shown(cells[row, c]) if (row, c) in cells else "" for c in columns] for row in rows]
    # Many quantities of few ways fit a page better as a tall table.
    if len(rows) < len(columns) / 2:
        turned = zip(titles, zip(*values, strict=True), strict=True)
        return table(["figure", *rows], [[title, *cells] for title, cells in turned])
    named = zip(rows, values, strict=True)
    return table([corner, *titles], [[row, *cells] for row, cells in named])


# Files of the benchmarks by the first word of their results.
SCRIPTS = {
    "unclip": "unclip/generation",
    "semantica": "semantica/variations",
    "evaluation": "evaluation/table",
    "goodhart": "steering/goodhart",
    "steering": "steering/runs",
    "conceptlab": "conceptlab/runs",
    "density": "density/recovery",
    "density_cost": "density/cost",
    "seconds": "commands/seconds",
    "chapters": "notebook/chapters",
    "kandinsky": "unclip/kandinsky",
}


def script(command: str) -> str:
    """Return the file and arguments of a benchmark, such as "steering/runs.py main"."""
    name, *words = command.split(" ")
    return " ".join((f"{SCRIPTS[name]}.py", *words))


def source(command: str, report: dict[str, Any]) -> str:
    """Say which benchmark measured a report, on which machine, and at which commit."""
    return (
        f"Measured by `benchmarks/{script(command)}` on {report['machine']}, with seed "
        f"{report['seed']}, at commit `{report['commit']}`."
    )


def density(report: dict[str, Any], command: str = "density") -> str:
    """Format how well densities rank the truth."""
    short = [
        f | {"name": f["name"].removeprefix("rank correlation with the truth: ")}
        for f in report["figures"]
    ]
    # "estimator; exposure, size" gives a column to each exposure and size.
    return f"{pivot(short, 'density', '; ')}\n\n{source(command, report)}"


def part(benchmark: str, name: str) -> Callable[[dict[str, Any]], str]:
    """Make a function that formats the report of a benchmark's part.

    Figures with a bar come first, then a row for each way that has several figures.
    """

    def make(report: dict[str, Any]) -> str:
        command = f"{benchmark} {name}".strip()
        barred = [f for f in report["figures"] if f["bar"] is not None]
        ways = [f["name"].split(": ")[0] for f in report["figures"]]
        others = [f for f, way in zip(report["figures"], ways, strict=True) if ways.count(way) > 1]
        tables = []
        if barred:
            tables.append(figures(report | {"figures": barred}, script(command)))
        if others:
            tables.append(pivot(others, "way"))
        if not barred:
            tables.append(source(command, report))
        return "\n\n".join(tables)

    return make


# Columns of the tables of all methods, one table for each group.
GROUPS = (
    (
        "true: valid",
        "true: novel in form",
        "true: valid and novel",
        "true: surprisal",
        "seconds a picture",
    ),
    ("positive similarity", "relative typicality", "distance to the nearest", "FID", "KID"),
    (
        "precision",
        "recall",
        "density",
        "coverage",
        "Vendi, q = 1",
        "Vendi, q = 2",
        "total variance",
    ),
    (
        "CLIP: positive similarity",
        "CLIP: relative typicality",
        "CLIP: surprisal",
        "CLIP: KL above its floor",
        "CLIP: JS above its floor",
        "CLIP: distance to the nearest",
    ),
)


def methods(report: dict[str, Any]) -> str:
    """Format all methods by all metrics, in groups of columns that fit a page."""
    groups = [
        [f for f in report["figures"] if f["name"].split(": ", 1)[1] in group] for group in GROUPS
    ]
    tables = [pivot(group, "method") for group in groups]
    return "\n\n".join([*tables, source("evaluation", report)])


def correlations(report: dict[str, Any]) -> str:
    """Format correlations, a row for each metric and a column for each quantity of the truth."""
    short = [f | {"name": f["name"].replace("CLIP: ", "CLIP's ")} for f in report["figures"]]
    return f"{pivot(short, 'metric')}\n\n{source('evaluation', report)}"


def draw_figure_11(report: dict[str, Any], file: Path) -> None:
    """Draw ConceptLab's figure 11 from our figures, with intervals.

    It shows positive similarity and negative distance of each way and category.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {f["name"]: f for f in report["figures"]}
    colors = {
        "ConceptLab": "#1f6fb4",
        "negative prompt, prior": "#b3450b",
        "negative prompt, decoder": "#6b6b6b",
    }
    marks = {"pet": "o", "plant": "s", "fruit": "*", "furniture": "P", "musical instrument": "^"}
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained", dpi=110)
    for way, color in colors.items():
        for category, mark in marks.items():
            x, y = (
                found[f"{category}, {way}: {what}"]
                for what in ("positive similarity", "negative distance")
            )
            axes.errorbar(
                x["value"],
                y["value"],
                [[y["value"] - y["low"]], [y["high"] - y["value"]]],
                [[x["value"] - x["low"]], [x["high"] - x["value"]]],
                color=color,
                marker=mark,
                markersize=8,
                linewidth=1,
            )
    for way, color in colors.items():
        axes.scatter([], [], color=color, label=way)
    for category, mark in marks.items():
        axes.scatter([], [], color="black", marker=mark, label=category)
    axes.set(
        xlabel="positive similarity (judge's cosine to the category)", ylabel="negative distance"
    )
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)


def seconds(report: dict[str, Any]) -> str:
    """Format seconds, a row for each thing that was timed."""
    # Names may hold colons of their own; the last one ends the name.
    named = [f | {"name": "\n".join(f["name"].rsplit(": ", 1))} for f in report["figures"]]
    times = pivot(named, "what", between="\n")
    return f"{times}\n\n{source('seconds', report)}"


def chapters(report: dict[str, Any]) -> str:
    """Format the running times of the book's chapters."""
    return f"{pivot(report['figures'], 'chapter')}\n\n{source('chapters', report)}"


# Time and memory of networks of the real size with random weights.
KANDINSKY = {
    "step-gpu": "A step of ConceptLab at Kandinsky 2.1's size, on a GPU",
    "step-cpu": "A step of ConceptLab on two CPU cores, the prior cut to 6 of 20 layers",
    "rate-gpu": "Share of the GPU's matrix rate",
    "rate-cpu": "Share of the two cores' matrix rate",
    "memory-gpu": "Memory and seconds of whole stacks, on a GPU",
    "memory-cpu": "Weights of the real models",
    "precision-gpu": "Where runs of the bundled model end in 16 bits, on a GPU",
    "precision-cpu": "Where runs of the bundled model end in 16 bits, on a CPU",
    "prior-gpu": "Embeddings by the thousand, on a GPU",
    "prior-cpu": "A hundred embeddings on two cores, the prior cut to 6 layers",
    "density-gpu": "A density of ten million embeddings, on a GPU",
    "density-cpu": "A density of 200,000 embeddings, on two cores",
}

MAKERS = {
    "unclip-priors": ("Two priors, none, and guidance", part("unclip", "priors")),
    "unclip-inversion": (
        "Pictures turned into embedding and noise, and back",
        partial(figures, script=script("unclip inversion")),
    ),
    "unclip-edits": ("Edits by differences of texts", part("unclip", "edits")),
    "semantica-truth": (
        "Variations: what they keep and what they vary",
        part("semantica", "truth"),
    ),
    "semantica-fewshot": (
        "Variations of one picture against the rest of its set",
        part("semantica", "fewshot"),
    ),
    "semantica-metrics": (
        "What metrics make of a copier, a blurrer and a mode-dropper",
        part("semantica", "metrics"),
    ),
    "semantica-variants": (
        "Variations through other encoders, and of filtered pairs",
        part("semantica", "variants"),
    ),
    "evaluation-table": ("Thirteen methods by every metric", methods),
    "evaluation-correlation": ("Which metric tracks the truth", correlations),
    "evaluation-oracles": ("Methods as the second oracle ranks them", part("evaluation", "")),
    "evaluation-claims": ("What the papers claim", partial(figures, script=script("evaluation"))),
    "goodhart-dial": ("Rarity in the eyes of who steers and of others", part("goodhart", "")),
    "steering-main": ("Steering, and what it starts from", part("steering", "main")),
    "steering-ablation": ("Pullbacks, by what is optimised", part("steering", "ablation")),
    "steering-rival": ("The rival: random prompts that name parts", part("steering", "rival")),
    "steering-guidance": ("Guidance while sampling", part("steering", "guidance")),
    "steering-cost": ("What guidance costs", partial(figures, script=script("steering cost"))),
    "steering-dial": ("The dial", part("steering", "dial")),
    "steering-depth": ("How deep to pull back", part("steering", "depth")),
    "steering-batch": ("Eight concepts at once", part("steering", "batch")),
    "conceptlab-main": (
        "ConceptLab with two manual negatives, and negative prompts",
        part("conceptlab", "main"),
    ),
    "conceptlab-adaptive": ("ConceptLab with adaptive negatives", part("conceptlab", "adaptive")),
    "conceptlab-mix": ("Mixtures", part("conceptlab", "mix")),
    "conceptlab-weight": (
        "ConceptLab's weight, with all species forbidden",
        part("conceptlab", "weight"),
    ),
    "conceptlab-ablation": (
        "Where ConceptLab's constraints compare, and what its loss is made of",
        part("conceptlab", "ablation"),
    ),
    "density": ("Which density ranks the truth best", density),
    "density-other-clip": (
        "The same, with a CLIP that was told no factors",
        partial(density, command="density --clip"),
    ),
    "seconds": ("Where the seconds go with the bundled model", seconds),
    "chapters": ("How long each chapter's code runs on one core", chapters),
    "density_cost": ("What a density costs", partial(figures, script=script("density_cost"))),
    **{
        f"kandinsky-{part}": (
            title,
            partial(figures, script=script(f"kandinsky {part.split('-')[0]}")),
        )
        for part, title in KANDINSKY.items()
    },
}


def page() -> str:
    """Format all tables as Markdown, with a note for those that were not measured yet."""
    parts = []
    for name, (title, make) in MAKERS.items():
        file = RESULTS / f"{name}.json"
        text = make(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else MISSING
        parts.append(f"## {title}\n\n{text}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    if (measured := RESULTS / "conceptlab-main.json").is_file():
        draw_figure_11(
            json.loads(measured.read_text(encoding="utf-8")),
            ROOT / "book" / "_static" / "conceptlab.png",
        )

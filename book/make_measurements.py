"""Write the measurements' tables from what the benchmarks leave in benchmarks/results; `make book` does it.

Most figures are named "way: what was measured", and most fill one table for each group of ways: a row for a way, a column for a
figure. Figures with a bar come first, in a table of their own.
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
    # Word joiners keep an interval on one line.
    between = (
        "\u2060–\u2060" if figure["low"] is None or figure["low"] >= 0 else "\u00a0to\u00a0"
    )  # a dash beside a minus confuses
    interval = (
        "" if figure["low"] is None else f" ({figure['low']:.3g}{between}{figure['high']:.3g})"
    )
    return f"{figure['value']:.3g}{interval}"


def pivot(found: list[dict[str, Any]], corner: str, between: str = ": ") -> str:
    """One row for each way, one column for each thing measured, in the order of their first appearance."""
    cells = {tuple(f["name"].split(between, 1)): f for f in found}
    rows, columns = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    units = {
        column: next(f["unit"] for key, f in cells.items() if key[1] == column)
        for column in columns
    }
    said = [f"{column}, {units[column]}" if units[column] else column for column in columns]
    values = [[shown(cells[row, c]) if (row, c) in cells else "" for c in columns] for row in rows]
    if (
        len(rows) < len(columns) / 2
    ):  # many things said of few ways: a table that is tall instead of wide
        return table(
            ["figure", *rows],
            [
                [name, *of_all]
                for name, of_all in zip(said, map(list, zip(*values, strict=True)), strict=True)
            ],
        )
    return table(
        [corner, *said], [[row, *of_row] for row, of_row in zip(rows, values, strict=True)]
    )


# Where the benchmarks lie whose results begin with these words.
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


def source(script: str, report: dict[str, Any]) -> str:
    name = script.split(" ")[0]
    words = script.split(" ")[1:]
    file = " ".join((f"benchmarks/{SCRIPTS[name]}.py", *words))
    return f"Measured by `{file}` on {report['machine']}, with seed {report['seed']}, at commit `{report['commit']}`."


def density(report: dict[str, Any], script: str = "density") -> str:
    short = [
        f | {"name": f["name"].removeprefix("rank correlation with the truth: ")}
        for f in report["figures"]
    ]
    # "estimator; exposure, size" gives a column to each exposure and size.
    return f"{pivot(short, 'density', '; ')}\n\n{source(script, report)}"


def part(script: str, name: str) -> Callable[[dict[str, Any]], str]:
    """A part of a benchmark: what has a bar first, then a row for each way of which several things are said."""

    def make(report: dict[str, Any]) -> str:
        barred = [f for f in report["figures"] if f["bar"] is not None]
        ways = [f["name"].split(": ")[0] for f in report["figures"]]
        others = [f for f, way in zip(report["figures"], ways, strict=True) if ways.count(way) > 1]
        tables = (
            [figures(report | {"figures": barred}, f"{script} {name}".strip())] if barred else []
        )
        tables += [pivot(others, "way")] if others else []
        return "\n\n".join(
            tables if barred else [*tables, source(f"{script} {name}".strip(), report)]
        )

    return make


# Columns of the table of all methods, a table for each group of them.
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
    """All methods by all metrics, in groups that fit a page."""
    columns = [
        [f for f in report["figures"] if f["name"].split(": ", 1)[1] in group] for group in GROUPS
    ]
    return "\n\n".join(
        [*(pivot(found, "method") for found in columns), source("evaluation", report)]
    )


def correlations(report: dict[str, Any]) -> str:
    """One row for each metric, one column for what of the truth it is correlated with."""
    short = [f | {"name": f["name"].replace("CLIP: ", "CLIP's ")} for f in report["figures"]]
    return f"{pivot(short, 'metric')}\n\n{source('evaluation', report)}"


def draw_figure_11(report: dict[str, Any], file: Path) -> None:
    """The paper's figure 11 from our figures: for each way and category, positive similarity and negative distance, with intervals."""
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
    """One row for each thing timed; names may hold colons of their own."""
    named = [f | {"name": "\n".join(f["name"].rsplit(": ", 1))} for f in report["figures"]]
    return f"{pivot(named, 'what', chr(10))}\n\n{source('seconds', report)}"


# Of networks of the real size with random weights: time and memory.
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
        lambda report: figures(report, "unclip inversion"),
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
    "evaluation-claims": ("What the papers claim", lambda report: figures(report, "evaluation")),
    "goodhart-dial": ("Rarity in the eyes of who steers and of others", part("goodhart", "")),
    "steering-main": ("Steering, and what it starts from", part("steering", "main")),
    "steering-ablation": ("Pullbacks, by what is optimised", part("steering", "ablation")),
    "steering-rival": ("The rival: random prompts that name parts", part("steering", "rival")),
    "steering-guidance": ("Guidance while sampling", part("steering", "guidance")),
    "steering-cost": ("What guidance costs", lambda report: figures(report, "steering cost")),
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
        partial(density, script="density --clip"),
    ),
    "seconds": ("Where the seconds go with the bundled model", seconds),
    "chapters": (
        "How long each chapter's code runs on one core",
        lambda report: f"{pivot(report['figures'], 'chapter')}\n\n{source('chapters', report)}",
    ),
    "density_cost": ("What a density costs", lambda report: figures(report, "density_cost")),
    **{
        f"kandinsky-{part}": (title, partial(figures, script=f"kandinsky {part.split('-')[0]}"))
        for part, title in KANDINSKY.items()
    },
}


def page() -> str:
    """The tables as Markdown; what is not there yet is said to be missing."""
    parts = []
    for name, (title, make) in MAKERS.items():
        file = RESULTS / f"{name}.json"
        parts.append(
            f"## {title}\n\n{make(json.loads(file.read_text())) if file.is_file() else MISSING}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    if (measured := RESULTS / "conceptlab-main.json").is_file():
        draw_figure_11(
            json.loads(measured.read_text()), ROOT / "book" / "_static" / "conceptlab.png"
        )

"""Figures that are drawn from committed measurements, and their words on the page."""

from pathlib import Path
from typing import Any

FIGURE_11 = """

```{figure} ../_static/conceptlab.png
:name: fig-conceptlab-measured
:alt: Points with error bars for five categories and three ways, positive similarity to the right, negative distance upwards. Points of ConceptLab lie to the right of those of negative prompts.

ConceptLab against negative prompts, as in figure 11 of its paper {cite}`richardson2023conceptlab`:
how like the category pictures are in the judge's eyes, and by how much more than like the nearest
negative. Bars are 95 % intervals; the tables below have the numbers.
```"""  # noqa: E501 - a description is one line


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

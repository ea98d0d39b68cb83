"""Write the pages of measurements from benchmarks/results; `make book` runs this.

There is a page for each chapter, in book/measurements/, and one that lists them all. Each table
has a heading, which links lead to.
"""

import json
import re
from pathlib import Path

from layouts import MISSING, source
from measured_figures import draw_figure_11
from measured_pages import PAGES, Measurement, Page

from creativelib.notebook.stored import read_report

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
INDEX = ROOT / "book" / "measurements.md"
FOLDER = ROOT / "book" / "measurements"

WORDS = """\
What the benchmarks of this book found, in full: the chapters compute small examples of it. All that
is said of pictures is said of the Menagerie's, whose truth says what is valid and what is new; none
of it says that other models behave alike. Percentages are shares of pictures. Beside a value stands
its 95 % interval. It is bootstrapped over categories and then over the runs or concepts of each,
because pictures of one concept resemble each other and so do concepts of one category, or over
categories alone; where it is not, a note below the table says so. The best value of a column is in
bold, where more or less is better.

*Valid* and *novel in form* are defined in the [glossary](glossary.md) and read by an oracle that
nothing was optimized against; *novel in surface* counts pictures whose form is known and whose
color or pattern is not. *Surprisal* is in nats under the density of what the prior usually makes.
The *judge* is a second CLIP. Figures of the models themselves are on the
[model card](model-card.md)."""


def chapter_title(chapter: str) -> str:
    """Read a chapter's title from its notebook, without its number."""
    cells = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    return cells[0]["source"][0].removeprefix("# ").lstrip("0123456789 ").strip()


def slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def section(measurement: Measurement) -> str:
    """Format the tables of a measurement below its heading; name what was not measured yet."""
    file = RESULTS / f"{measurement.name}.json"
    text = MISSING
    if file.is_file():
        report = read_report(file)
        tables = measurement.layout(measurement.title, report)
        shown = [table._repr_html_() for table in tables]
        text = "\n\n".join([*shown, source(measurement.script, report)])
    return f"## {measurement.title}\n\n{text}\n"


def page(found: Page) -> str:
    """Format the page of a chapter's measurements."""
    number = found.chapter[:2]
    title = chapter_title(found.chapter)
    link = f"[{title}](../../notebooks/{found.chapter}.ipynb)"
    head = f"# Chapter {number}, measured\n\nMeasurements for {link}. {found.words}".strip()
    return "\n".join([f"{head}\n", *map(section, found.measurements)])


def index() -> str:
    """Format the page that lists all measurements."""
    parts = []
    for found in PAGES:
        file = f"measurements/{found.chapter}.md"
        links = [f"- [{m.title}]({file}#{slug(m.title)})" for m in found.measurements]
        head = f"## {found.chapter[:2]} {chapter_title(found.chapter)}"
        parts.append("\n".join([head, "", *links, ""]))
    return "\n".join([f"# Measurements\n\n{WORDS}\n", *parts])


def pages() -> dict[Path, str]:
    """Return the text of each page by its file."""
    return {INDEX: index()} | {FOLDER / f"{found.chapter}.md": page(found) for found in PAGES}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8", newline="\n")
    if (measured := RESULTS / "conceptlab-main.json").is_file():
        draw_figure_11(
            json.loads(measured.read_text(encoding="utf-8")),
            ROOT / "book" / "_static" / "conceptlab.png",
        )

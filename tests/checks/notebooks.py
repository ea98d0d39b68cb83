"""Checks of the book's notebooks, from their files alone."""

import json
import re
from pathlib import Path
from typing import Any

LIVE = {"skip-execution", "nbval-skip"}
# nbval runs these cells without comparing their outputs, which may differ between processors.
UNCOMPARED = "nbval-ignore-output"
LARGEST_FILE = 2 * 2**20
LONGEST_CELL = 30
LONGEST_LINE = 88  # what a page shows without scrolling
SHORTEST_ALT = 20
# A path of the machine that ran the notebook is private, and means nothing elsewhere.
LOCAL_PATH = re.compile(r"(?:/home/|/root/|/Users/|/tmp/|/mnt/|/workspace/|[A-Z]:\\\\Users)")
WARNING = re.compile(r"\b(?:\w*Warning\b|WARNING)")
MARKDOWN_PICTURE = re.compile(r"!\[(.*?)\]\(")
HTML_PICTURE = re.compile(r"<img\b[^>]*>")
HTML_ALT = re.compile(r"\balt=\"([^\"]+)\"")
DATA_URI = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")

Cell = dict[str, Any]


def read(file: Path) -> list[Cell]:
    """Read a notebook's cells."""
    return json.loads(file.read_text(encoding="utf-8"))["cells"]


def source(cell: Cell) -> str:
    """Join the lines of a cell's source."""
    return "".join(cell["source"])


def code_cells(cells: list[Cell]) -> list[Cell]:
    """List the code cells that are not empty."""
    return [cell for cell in cells if cell["cell_type"] == "code" and source(cell).strip()]


def faults(file: Path) -> list[str]:
    """List everything that is wrong with a notebook, one line each."""
    cells = read(file)
    code = code_cells(cells)
    found = []
    if file.stat().st_size > LARGEST_FILE:
        size = file.stat().st_size / 2**20
        found.append(f"{size:.1f} MiB; expected at most {LARGEST_FILE / 2**20:.0f}")
    # Live controls need a reader's kernel. nbconvert and nbval skip cells with these tags, so they
    # must have no outputs.
    live = [cell for cell in code if set(cell["metadata"].get("tags", ())) >= LIVE]
    if any(cell["execution_count"] or cell["outputs"] for cell in live):
        found.append("a live cell was executed and keeps its outputs")
    code = [cell for cell in code if cell not in live]
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        found.append("code cells were not executed once each, in order, in a fresh kernel")
    for number, cell in enumerate(code, 1):
        found += [f"code cell {number}: {fault}" for fault in cell_faults(cell)]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            found += [
                f"a picture in the text has no written alt text: {picture}"
                for picture in bare_pictures(source(cell))
            ]
            if LOCAL_PATH.search(source(cell)):
                found.append("a path of some machine in the text")
    return found


def cell_faults(cell: Cell) -> list[str]:
    """List what is wrong with one code cell and its outputs."""
    found = []
    if len(source(cell).splitlines()) > LONGEST_CELL:
        found.append(f"more than {LONGEST_CELL} lines")
    if any(len(line) > LONGEST_LINE for line in source(cell).splitlines()):
        found.append(f"a line of more than {LONGEST_LINE} characters")
    tags = cell["metadata"].get("tags", [])
    if UNCOMPARED in tags and "print(" in source(cell) and "assert " not in source(cell):
        found.append("its output is not compared, and no assert checks what the text claims")
    raises = "raises-exception" in tags
    for output in cell["outputs"]:
        data = output.get("data", {})
        texts = [
            output.get("text", []),
            *(value for kind, value in data.items() if kind.startswith("text/")),
        ]
        text = DATA_URI.sub("", "\n".join("".join(lines) for lines in texts))
        if output["output_type"] == "error" and not raises:
            found.append(f"the error {output['ename']} in its output")
        if output.get("name") == "stderr":
            found.append("text on stderr in its output")
        if WARNING.search(text):
            found.append("a warning in its output")
        if LOCAL_PATH.search(text):
            found.append("a path of some machine in its output")
        if any(kind.startswith("image/") for kind in data) and len(alt(cell)) < SHORTEST_ALT:
            found.append(
                "its picture has no written alt text in the cell's metadata (mystnb.image.alt)"
            )
        found += [f"a picture has no alt text: {picture[:60]}" for picture in bare_pictures(text)]
    kinds = {kind for output in cell["outputs"] for kind in output.get("data", {})}
    if "text/html" in kinds and any(kind.startswith("image/") for kind in kinds):
        found.append("a figure and a table, which would both get the figure's caption")
    if LOCAL_PATH.search(source(cell)):
        found.append("a path of some machine")
    return found


def alt(cell: Cell) -> str:
    """Read the alt text of a cell's picture from the cell's metadata."""
    return cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "").strip()


def bare_pictures(text: str) -> list[str]:
    """List the pictures in Markdown or HTML that have no alt text."""
    markdown = [
        match.group() for match in MARKDOWN_PICTURE.finditer(text) if not match.group(1).strip()
    ]
    return markdown + [
        picture for picture in HTML_PICTURE.findall(text) if not HTML_ALT.search(picture)
    ]

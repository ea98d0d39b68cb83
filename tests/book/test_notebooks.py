"""The notebooks as they are stored; nbval runs them."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from checks import notebooks
from checks.outputs import forgive

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALT = "Eight small drawings of pets with dark outlines."
GOOD = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": ["print(1)"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}],
        },
        {
            "cell_type": "code",
            "metadata": {"mystnb": {"image": {"alt": ALT}}},
            "execution_count": 2,
            "source": ["plot()"],
            "outputs": [
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"image/png": "aaaa", "text/plain": ["<Figure>"]},
                }
            ],
        },
    ],
}


def faults_with(tmp_path: Path, change) -> str:
    """Find the faults of a good notebook after a change to its cells."""
    notebook = copy.deepcopy(GOOD)
    change(notebook["cells"])
    file = tmp_path / "x.ipynb"
    file.write_text(json.dumps(notebook))
    return "\n".join(notebooks.faults(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_notebook(file: Path):
    assert notebooks.faults(file) == []


def test_there_are_notebooks_and_all_are_in_the_book():
    toc = (ROOT / "_toc.yml").read_text()
    listed = {entry["file"] for part in yaml.safe_load(toc)["parts"] for entry in part["chapters"]}
    assert FILES
    assert {f"notebooks/{file.stem}" for file in FILES} == {
        name for name in listed if name.startswith("notebooks/")
    }


def test_first_cells_are_the_same():
    first = {notebooks.source(notebooks.code_cells(notebooks.read(file))[0]) for file in FILES}
    assert len(first) == 1
    assert first.pop().endswith('\nsetup()\nMODEL = "menagerie"')


@pytest.mark.parametrize(
    "fault, change",
    [
        ("", lambda cells: None),
        ("in order", lambda cells: cells[1].update(execution_count=3)),
        ("in order", lambda cells: cells[2].update(execution_count=None)),
        (
            "live cell",
            lambda cells: cells[2]["metadata"].update(tags=["skip-execution", "nbval-skip"]),
        ),
        (
            "the error ValueError",
            lambda cells: cells[1]["outputs"].append(
                {"output_type": "error", "ename": "ValueError"}
            ),
        ),
        ("stderr", lambda cells: cells[1]["outputs"][0].update(name="stderr")),
        (
            "a warning",
            lambda cells: cells[1]["outputs"][0].update(text=["x.py:3: UserWarning: old\n"]),
        ),
        (
            "code cell 1: a path",
            lambda cells: cells[1]["outputs"][0].update(text=["/home/reader/x.py\n"]),
        ),
        ("code cell 1: a path", lambda cells: cells[1].update(source=["open('/tmp/x')"])),
        (
            "path of some machine in the text",
            lambda cells: cells[0].update(source=["see /Users/reader"]),
        ),
        ("no written alt text", lambda cells: cells[2].update(metadata={})),
        (
            "no written alt text",
            lambda cells: cells[2].update(metadata={"mystnb": {"image": {"alt": "A figure."}}}),
        ),
        ("no written alt text", lambda cells: cells[0].update(source=["![](x.png)"])),
        (
            "no alt text",
            lambda cells: cells[1]["outputs"].append(
                {"output_type": "display_data", "data": {"text/html": ["<img src='x'>"]}}
            ),
        ),
        (
            "both get the figure's caption",
            lambda cells: cells[2]["outputs"].append(
                {"output_type": "display_data", "data": {"text/html": ["<table></table>"]}}
            ),
        ),
        ("more than 30 lines", lambda cells: cells[1].update(source=["x = 1\n"] * 31)),
        ("more than 88 char", lambda cells: cells[1].update(source=["x" * 89])),
        (
            "no assert",
            lambda cells: cells[1].update(
                metadata={"tags": ["nbval-ignore-output"]}, source=["print(2)"]
            ),
        ),
        (
            "",
            lambda cells: cells[1].update(
                metadata={"tags": ["nbval-ignore-output"]}, source=["print(2)\n", "assert 2 > 1"]
            ),
        ),
        (
            "MiB",
            lambda cells: cells[2]["outputs"][0]["data"].update({"image/png": "a" * 3 * 2**20}),
        ),
    ],
)
def test_faults_are_found(tmp_path: Path, fault: str, change):
    found = faults_with(tmp_path, change)
    assert fault in found if fault else found == ""


def test_errors_that_are_announced_are_fine(tmp_path: Path):
    def change(cells):
        cells[1]["outputs"].append({"output_type": "error", "ename": "NotImplementedError"})
        cells[1]["metadata"]["tags"] = ["raises-exception"]

    assert faults_with(tmp_path, change) == ""


@pytest.mark.parametrize(
    "new, stored, same",
    [
        ("surprisal 12.3456 nats", "surprisal 12.3457 nats", True),
        ("1.0 -2.5e-3", "1.0004 -2.5001e-3", True),
        ("surprisal 12.5 nats", "surprisal 12.3 nats", False),
        ("8 of 16 valid", "9 of 16 valid", False),
        ("1.0 yes", "1.0 no", False),
        ("1.0", "1.0 2.0", False),
        ("version 1.2.3", "version 1.2.4", False),
    ],
)
def test_only_close_decimals_are_forgiven(new: str, stored: str, same: bool):
    assert (forgive(new, stored) == stored) == same

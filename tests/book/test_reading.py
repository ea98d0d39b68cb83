"""Chapters read alike in the book, JupyterLab, VS Code, Colab and on GitHub."""

import copy
import json
import re
from pathlib import Path

import pytest

from checks import notebooks, reading, references

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
WORKS = references.works()
each_chapter = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)

EXERCISE = '### Exercise 7.1\n\n<a id="exercise-71"></a>**Two.** How many?\n\n[S](#solution-71)'
SOLUTION = '### Solution 7.1\n\n<a id="solution-71"></a>For [exercise 7.1](#exercise-71), *Two*.'
ANSWER = "<details>\n<summary>Answer</summary>\n\nTwo, $2$.\n\n</details>"
CODE = {
    "cell_type": "code",
    "metadata": {
        "cellView": "form",
        "collapsed": True,
        "jupyter": {"outputs_hidden": True, "source_hidden": True},
        "tags": ["hide-cell"],
    },
    "source": ["# @title Solution 7.1\n", "print(2)"],
}


def chapter(*parts: str | dict) -> list[dict]:
    """Make a chapter of Markdown and code cells."""
    return [
        {"cell_type": "markdown", "metadata": {}, "source": part} if isinstance(part, str) else part
        for part in parts
    ]


def write(file: Path, *parts: str | dict) -> Path:
    file.write_text(json.dumps({"cells": chapter(*parts)}))
    return file


@each_chapter
def test_chapters_are_plain_markdown(file: Path):
    assert reading.book_only(reading.prose(notebooks.read(file))) == []


@each_chapter
def test_links_of_chapters_lead_somewhere(file: Path):
    assert reading.broken_links(file) == []


@each_chapter
def test_solutions_come_after_all_exercises_and_are_folded(file: Path):
    assert reading.open_solutions(notebooks.read(file), int(file.stem[:2])) == []


@each_chapter
def test_chapters_open_with_what_they_teach_and_what_they_need(file: Path):
    first = notebooks.source(notebooks.read(file)[0])
    places = [first.find(f"**{words}**") for words in ("You learn", "You need", "It takes")]
    assert -1 not in places and places == sorted(places)


@pytest.mark.parametrize(
    "name, text",
    [
        ("directive", "```{exercise} Two\n:label: two\nHow many?\n```"),
        ("directive", "````{admonition} Mind\nthis\n````"),
        ("directive", "text\n\n~~~{note}\nthis\n~~~"),
        ("directive", "- item\n\n  ```{figure} a.png\n  ```"),
        ("directive", "```{code-cell} ipython3\nprint(2)\n```"),
        ("directive", "```{include} page.md\n```"),
        ("colon fence", ":::{note}\nthis\n:::"),
        ("colon fence", "::::\nthis\n::::"),
        ("role", "see {cite}`song2026creative`"),
        ("role", "see {ref}`the truth <truth>`"),
        ("role", "see {numref}`fig-a`, {doc}`page`"),
        ("role", "{py:func}`creativelib.steer`"),
        ("role", "{term}`nat`\n"),
        ("role", "{eq}`truth`"),
        ("target", "(truth)=\n## Truth"),
        ("target", "(sec:the-truth)=\nText"),
        ("substitution", "version {{ version }}"),
        ("attributes", "{.margin}\nText"),
        ("attributes", "{#truth .wide}\nText"),
        ("attributes", "![A pet.](pet.png){width=200px}"),
        ("attributes", "[words]{.small}"),
        ("attributes", "## Truth {#truth}"),
        ("labeled math", "$$\na = b\n$$ (eq-truth)"),
        ("labeled math", "$$ a = b $$ (eq:truth)"),
        ("without dollars", "text\n\n\\begin{align}\na\n\\end{align}"),
        ("comment", "% not shown"),
        ("block break", "+++\ntext"),
        ("footnote", "text[^1]\n\n[^1]: note"),
        ("without words", "see [](#truth)"),
        ("link of MyST's", "see [words](project:#truth)"),
        ("link of MyST's", "see <inv:python#os>"),
        ("definition list", "nat\n: a unit"),
        ("list close", "**You learn**\n- this"),
        ("list close", "Two:\n1. this\n2. that"),
    ],
)
def test_what_only_the_book_understands_is_found(name: str, text: str):
    before = "Some *text* with `code`, $x_{i}$ and a [link](a.md).\n\n"
    assert any(name in fault for fault in reading.book_only(before + text + "\n\nMore."))


@pytest.mark.parametrize(
    "text",
    [
        "## Title\n\nText of\ntwo lines.\n\n- item\n  goes on\n- item\n\n1. one\n2. two",
        '"a photo of a {}" and `f"{a}"`, `{cite}` and `$x` alike',
        "```python\nd = {'a': {{}}}\n# (a)=\n```",
        "````\n```{note}\n```\n````",
        "$$\n\\begin{aligned} a_{{i}} \\end{aligned}\n$$",
        "$p_{s,f}$ and $\\{.5\\}$ and ${#}$",
        "| a | b |\n|---|---|\n| $x$ | [c](d.ipynb#e) |",
        "> **Mind.**\n>\n> - this\n> - that",
        "![A pet.](pet.png) 90 % of (most) = all (a)",
        "- **Term**: this\n- [x](#y): that\n\n---\n\n:) and **bold**\n",
        ANSWER,
    ],
)
def test_plain_markdown_is_let_through(text: str):
    assert reading.book_only(text) == []


def test_a_chapter_of_one_exercise_has_no_faults():
    assert reading.open_solutions(chapter("# T", EXERCISE, SOLUTION, CODE, ANSWER), 7) == []
    assert (
        reading.open_solutions(chapter(f"{EXERCISE}\n\n{SOLUTION}\n\n{ANSWER}\n\n## End"), 7) == []
    )


def change_code(**metadata) -> dict:
    cell = copy.deepcopy(CODE)
    cell["metadata"] |= metadata
    return cell


@pytest.mark.parametrize(
    "fault, parts",
    [
        ("expected exercises", ["# T"]),
        ("expected exercises", [EXERCISE]),
        ("expected exercises", [EXERCISE, SOLUTION, EXERCISE.replace("7.1", "7.2"), SOLUTION]),
        ("expected exercises", [EXERCISE.replace("7.1", "6.1"), SOLUTION]),
        ("lacks the anchor", [EXERCISE.replace("exercise-71", "exercise-7"), SOLUTION]),
        ("lacks the anchor", [EXERCISE, re.sub("<.*?></a>", "", SOLUTION)]),
        ("outside of <details>", [EXERCISE, SOLUTION, "Two."]),
        ("outside of <details>", [EXERCISE, SOLUTION, CODE, ANSWER, "Two."]),
        ("blank lines", [EXERCISE, SOLUTION, ANSWER.replace("\n\nTwo", "\nTwo")]),
        ("blank lines", [EXERCISE, SOLUTION, ANSWER.replace("\n\n</", "\n</")]),
        ("blank lines", [EXERCISE, SOLUTION, CODE, "<details><summary>A</summary>Two</details>"]),
        ("does not fold", [EXERCISE, SOLUTION, change_code(cellView="code")]),
        ("does not fold", [EXERCISE, SOLUTION, change_code(jupyter={"source_hidden": True})]),
        ("does not fold", [EXERCISE, SOLUTION, change_code(tags=[])]),
        ("first line", [EXERCISE, SOLUTION, CODE | {"source": ["print(2)"]}]),
    ],
)
def test_open_solutions_are_found(fault: str, parts: list):
    assert fault in "\n".join(reading.open_solutions(chapter(*parts), 7))


@pytest.mark.parametrize(
    "link, fault",
    [
        ("[7.1](#exercise-71)", ""),
        ("[7.1](other.ipynb#exercise-71)", ""),
        ("[other](other.ipynb), [web](https://example.org/a#b)", ""),
        ("`[code](nowhere.md)`", ""),
        ("[7.2](#exercise-72)", "no anchor"),
        ("[Exercise 7.1](#Exercise-7.1)", "no anchor"),
        ("[bare](other.ipynb#title)", "no anchor"),
        ("[7](seven.ipynb)", "no file"),
        ("[table](page.md#which-is-best), [page](page.md)", ""),
        ("[table](page.md#which)", "no anchor"),
    ],
)
def test_broken_links_are_found(tmp_path: Path, link: str, fault: str):
    write(tmp_path / "other.ipynb", "# Title", EXERCISE)
    (tmp_path / "page.md").write_text("# Page\n\n## Which is best?\n")
    found = "\n".join(reading.broken_links(write(tmp_path / "a.ipynb", EXERCISE, link)))
    assert fault in found if fault else "7.2" not in found and link.split("(")[-1][:-1] not in found


@each_chapter
def test_citations_are_those_of_the_bibliography(file: Path):
    text = reading.prose(notebooks.read(file))
    assert references.faults(text) == []
    assert "\n## References\n" in text


@pytest.mark.parametrize(
    "old, new",
    [
        ("Ho and Salimans, 2022", "Ho and others, 2022"),
        (
            "2207.12598)).",
            "2207.1259)).",
        ),
        ("- Jonathan Ho", "- John Ho"),
        ("Guidance ([Ho and Salimans, 2022](https://arxiv.org/abs/2207.12598)).", "Guidance."),
        ("Elgammal ([2026]", "Elgammal ([2025]"),
        ("\n- Kunpeng", "\n\nKunpeng"),
    ],
)
def test_wrong_citations_are_found(old: str, new: str):
    cited = [WORKS[key] for key in ("ho2022cfg", "song2026creative", "berlyne1971aesthetics")]
    text = (
        "Guidance ([Ho and Salimans, 2022](https://arxiv.org/abs/2207.12598)). Song and\nElgammal "
        "([2026](https://arxiv.org/abs/2601.22125)) and others ([Berlyne, 1971](#references)).\n\n"
        "## References\n\n" + "\n".join(work.line for work in cited)
    )
    assert references.faults(text) == []
    assert old in text and references.faults(text.replace(old, new)) != []

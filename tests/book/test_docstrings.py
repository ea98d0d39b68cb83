"""Docstrings as the API reference reads them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

DOC = """Draw pictures.

names: one of
    - a name;
    - a `~/folder` or a `Name`.
steps, guidance: by default those
    of the model.

Raises InputError for others.
note: this is no argument.
"""
REST = """Draw pictures.


* ``names``: one of

  - a name;
  - a ``~/folder`` or a `Name`.
* ``steps``, ``guidance``: by default those
  of the model.

Raises InputError for others.
note: this is no argument.
"""


@pytest.fixture
def docstrings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "book"))
    import docstrings

    return docstrings


@dataclass
class Settings:
    """Settings."""

    # Most steps
    # of the `loop`.
    steps: int
    plain: str = ""


def draw(names, steps, guidance):
    """Take arguments."""


def read(docstrings, obj: object, text: str) -> str:
    lines = text.split("\n")
    docstrings.process(None, "function", "name", obj, None, lines)
    return "\n".join(lines)


def test_descriptions_of_arguments_become_a_list(docstrings):
    assert read(docstrings, draw, DOC) == REST


def test_comments_describe_fields(docstrings):
    found = read(docstrings, Settings, "Settings.")
    assert "* ``steps``: Most steps of the `loop`.\n* ``plain``" in found


def test_indented_lines_are_code(docstrings):
    found = read(docstrings, pytest, "A room.\n\n    x = 1\n\nMore.")
    assert found == "A room.\n\n.. code-block:: python\n\n    x = 1\n\nMore."


def test_stars_and_code_are_left_as_they_are(docstrings):
    line = "Rows (*b, d) and `f(*a)`: *plus* log p; see `Name.of`."
    assert docstrings.literal(line) == "Rows (\\*b, d) and ``f(*a)``: *plus* log p; see `Name.of`."

"""A Sphinx extension that reads docstrings as this project writes them.

In a docstring, names in backticks are code, a line "name: what it is" describes a parameter, and
what stands indented after a blank line is code. Fields of dataclasses are described by the comments
above them. autodoc expects reStructuredText, so that is what it gets.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from typing import Any

PARAMETER = re.compile(r"(\w+(?:, \w+)*): (.*)")
KEPT = re.compile(r"(`[^`]+`|\*\w[^*`]*\*(?!\w))")
NAME = re.compile(r"`[\w.]+`|\*.*")
INDENT = 4


def setup(app: Any) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the docstring of an object in place, as autodoc asks for it."""
    new = list(restructured(lines, parameters(obj)))
    if inspect.isclass(obj) and is_dataclass(obj):
        new += ["", *fields(obj), ""]
    lines[:] = new


def parameters(obj: Any) -> Collection[str]:
    """List the names of an object's parameters, none if it takes no arguments."""
    try:
        return inspect.signature(obj).parameters
    except (TypeError, ValueError):
        return ()


def restructured(lines: list[str], names: Collection[str]) -> Iterator[str]:
    """Turn descriptions of parameters into a list, and indented lines after a blank into code."""
    inside = ""  # "list" or "code"
    before = ""
    for line in lines:
        indented = line.startswith(" " * INDENT)
        found = PARAMETER.fullmatch(line)
        if found and set(found[1].split(", ")) <= set(names):
            if inside != "list":
                yield ""
            inside = "list"
            yield f"* ``{found[1].replace(', ', '``, ``')}``: {literal(found[2])}"
        elif inside == "list" and indented:
            text = line[INDENT:]
            # A list within the list needs a blank line before it.
            if text.startswith("- ") and not before.lstrip().startswith("- "):
                yield ""
            yield f"  {literal(text)}"
        elif indented and not before and inside != "code":
            inside = "code"
            yield from (".. code-block:: python", "", line)
        else:
            if line and not indented:
                if inside == "list" and before:
                    yield ""
                inside = ""
            yield line if inside == "code" or line.startswith(">>>") else literal(line)
        before = line


def literal(line: str) -> str:
    """Set what stands in backticks as code, unless it is a name, which may become a link.

    A star is one, unless it begins or ends *emphasis*.
    """
    parts = KEPT.split(line)
    # Every second part is code or emphasis.
    parts[::2] = [part.replace("*", r"\*") for part in parts[::2]]
    parts[1::2] = [
        part if NAME.fullmatch(part) else part.replace("`", "``") for part in parts[1::2]
    ]
    return "".join(parts)


def fields(cls: type) -> Iterator[str]:
    """List the fields of a dataclass with the comments above them."""
    source = textwrap.dedent(inspect.getsource(cls)).splitlines()
    body = next(iter(ast.parse("\n".join(source)).body))
    assert isinstance(body, ast.ClassDef)
    for node in body.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if node.target.id.startswith("_"):
            continue
        first = node.lineno - 1
        while source[first - 1].strip().startswith("# "):
            first -= 1
        comment = " ".join(
            line.strip().removeprefix("# ") for line in source[first : node.lineno - 1]
        )
        yield (
            f"* ``{node.target.id}``: {literal(comment)}" if comment else f"* ``{node.target.id}``"
        )

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
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
INDENT = 4


def setup(app: Any) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the docstring of an object in place, as autodoc asks for it."""
    new = [literal(line) for line in restructured(lines, parameters(obj))]
    if inspect.isclass(obj) and is_dataclass(obj):
        new += ["", *(literal(line) for line in fields(obj)), ""]
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
            yield f"* ``{found[1].replace(', ', '``, ``')}``: {found[2]}"
        elif inside == "list" and indented:
            text = line[INDENT:]
            # A list within the list needs a blank line before it.
            if text.startswith("- ") and not before.lstrip().startswith("- "):
                yield ""
            yield f"  {text}"
        elif indented and not before and inside != "code":
            inside = "code"
            yield from (".. code-block:: python", "", line)
        else:
            if line and not indented:
                if inside == "list" and before:
                    yield ""
                inside = ""
            yield line
        before = line


def literal(line: str) -> str:
    """Set what stands in backticks as code, unless it is a name, which may become a link."""
    return CODE.sub(lambda m: m[0] if re.fullmatch(r"[\w.]+", m[1]) else f"``{m[1]}``", line)


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
        yield f"* ``{node.target.id}``: {comment}" if comment else f"* ``{node.target.id}``"

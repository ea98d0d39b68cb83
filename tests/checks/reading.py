"""Checks that a chapter reads alike in the book, JupyterLab, VS Code, Colab and on GitHub.

Only plain Markdown does. Exercises are headings, their solutions stand after all of them, and fold:
code by its cell's metadata, prose in <details>.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .notebooks import Cell, read, source

FENCED = re.compile(r"^(`{3,}|~{3,})(?!\{).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
MATH = re.compile(r"\$\$.+?\$\$|\$[^$\n]+(?:\n[^$\n]+)*\$", re.DOTALL)
# What MyST reads and others show as it is written. Math and code are taken out before.
BOOK_ONLY = {
    "a colon fence": r"^\s*:{3,}",
    "a target": r"^\s*\([^()\n]+\)=\s*$",
    "a substitution": r"\{\{.*?\}\}",
    "a block of attributes": r"\{\s*[.#%][^}\n]*\}|\{[\w-]+=[^}\n]*\}",
    "a comment": r"^%",
    "a block break": r"^\+\+\+",
    "a footnote": r"\[\^[^\]\n]+\]",
    "a link without words": r"(?<!!)\[\s*\]\(",
    "a link of MyST's": r"(?:\]\(|<)(?:project|inv|myst|path|doc):",
    "a definition list": r"^:[ \t]+\S",
    "a list close to the text above it": r"^(?![ \t>#|-]|\* |\d+\.|\s*$).*\n(?:[-*] |1\. )",
}
# INLINE_CODE would take these for code, so they are sought before.
DIRECTIVE = re.compile(r"^\s*(?:`{3,}|~{3,})\s*\{.*", re.MULTILINE)
ROLE = re.compile(r"(?<!`)\{[a-zA-Z][\w:.+-]*\}`")
LABELED_MATH = re.compile(r"\$\$[ ]*\([^()\n]+\)")
BARE_AMSMATH = re.compile(r"^\\begin\{", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])+\]\(([^()\s]+)\)")
ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
# Blank lines let Markdown in again after the tags.
DETAILS = re.compile(r"^<details>\n<summary>[^<\n]+</summary>\n\n.+?\n\n</details>$", re.M | re.S)
DETAILS_TAG = re.compile(r"</?(?:details|summary)\b")
NUMBERED = re.compile(r"^### (Exercise|Solution) (\d+)\.(\d+)$")
FOLDED = {"cellView": "form", "collapsed": True}
HIDDEN = {"outputs_hidden": True, "source_hidden": True}


def prose(cells: list[Cell]) -> str:
    """Join the Markdown cells."""
    return "\n\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")


def without_code(text: str) -> str:
    return INLINE_CODE.sub("x", FENCED.sub("", text))


def slug(heading: str) -> str:
    """Name a heading as GitHub, VS Code and MyST do in links."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """List the places that links lead to everywhere: an anchor below a heading of the same name.

    The book and VS Code know the heading. JupyterLab names headings otherwise and has the anchor.
    """
    return set(ANCHOR.findall(text)) & {slug(title) for title in HEADING.findall(text)}


def places(file: Path) -> set[str]:
    """List the places of a notebook or a page that links lead to; a page's are its headings."""
    if file.suffix == ".ipynb":
        return anchors(prose(read(file)))
    return {slug(title) for title in HEADING.findall(file.read_text(encoding="utf-8"))}


def book_only(text: str) -> list[str]:
    """List the pieces of a Markdown text that only the book's builder understands."""
    bare = FENCED.sub("", text)
    found = [f"a directive: {match.strip()}" for match in DIRECTIVE.findall(bare)]
    found += [f"a role: {match}" for match in ROLE.findall(bare)]
    found += [f"labeled math: {match}" for match in LABELED_MATH.findall(bare)]
    found += [
        f"math without dollars: {match}" for match in BARE_AMSMATH.findall(MATH.sub("", bare))
    ]
    plain = MATH.sub("x", without_code(text))
    for name, pattern in BOOK_ONLY.items():
        found += [f"{name}: {match.group().strip()}" for match in re.finditer(pattern, plain, re.M)]
    return found


def broken_links(file: Path) -> list[str]:
    """List a notebook's links that lead to no file, or to no place in a notebook or page."""
    found = []
    for link in LINK.findall(without_code(prose(read(file)))):
        if re.match(r"https?:", link):
            continue
        path, _, place = link.partition("#")
        target = file.parent / path if path else file
        if not target.is_file():
            found.append(f"{link} leads to no file")
        elif place and place not in places(target):
            found.append(f"{link} leads to no anchor below a heading of that name")
    return found


@dataclass(frozen=True)
class Block:
    """A heading of an exercise or a solution, and what stands below it."""

    kind: str
    chapter: int
    number: int
    text: str
    code: list[Cell]


def blocks(cells: list[Cell]) -> list[Block]:
    """List a chapter's exercises and solutions in order."""
    found: list[tuple[re.Match[str] | None, list[str], list[Cell]]] = [(None, [], [])]
    for cell in cells:
        if cell["cell_type"] != "markdown":
            found[-1][2].append(cell)
            continue
        for part in re.split(r"^(?=#{1,3} )", source(cell), flags=re.MULTILINE):
            if part.startswith("#"):
                title = part.splitlines()[0]
                found.append((NUMBERED.match(title), [], []))
            found[-1][1].append(part)
    return [
        Block(match[1], int(match[2]), int(match[3]), "\n\n".join(texts), code)
        for match, texts, code in found
        if match
    ]


def open_solutions(cells: list[Cell], chapter: int) -> list[str]:
    """List what is wrong with the exercises of a chapter and with the folding of solutions."""
    found = []
    listed = blocks(cells)
    names = [(block.kind, block.chapter, block.number) for block in listed]
    count = sum(block.kind == "Exercise" for block in listed)
    wanted = [
        (kind, chapter, number + 1) for kind in ("Exercise", "Solution") for number in range(count)
    ]
    if not count or names != wanted:
        found.append(f"expected exercises {chapter}.1, {chapter}.2, ..., then all solutions")
    for block in listed:
        name = f"{block.kind} {block.chapter}.{block.number}"
        if ANCHOR.findall(block.text) != [slug(name)]:
            found.append(f'{name} lacks the anchor <a id="{slug(name)}"></a>')
        if block.kind == "Exercise":
            continue
        heading, introduction, *rest = block.text.split("\n\n", 2)
        if DETAILS.sub("", "".join(rest)).strip():
            found.append(f"{name} has prose outside of <details>")
        for cell in block.code:
            metadata = cell["metadata"]
            folded = metadata.items() >= FOLDED.items() and metadata.get("jupyter") == HIDDEN
            if not folded or "hide-cell" not in metadata.get("tags", []):
                found.append(f"{name} has a code cell whose metadata does not fold it")
            if source(cell).splitlines()[0] != f"# @title {name}":
                found.append(f"{name} has a code cell without the first line '# @title {name}'")
    if DETAILS_TAG.search(DETAILS.sub("", without_code(prose(cells)))):
        found.append("<details> without blank lines around what it holds")
    return found

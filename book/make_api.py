"""Write the pages of the API reference; `make book` runs this.

There is a page for each room, in book/api/, with a section for each of its files, and one that
lists the public names. Sphinx fills them from the docstrings. What rooms hold is said in
CONTRIBUTING.md.
"""

import ast
import re
from pathlib import Path

import creativelib

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "creativelib"
INDEX = ROOT / "book" / "api.md"
FOLDER = ROOT / "book" / "api"
ROOM = re.compile(r"^\| `(\w+)(/|\.py)` \| (.+?) \|", re.MULTILINE)
CHAPTER = re.compile(r"^\| \d\d .+? \| `(notebooks/(\d\d)-.+?)` \| (.+) \|$", re.MULTILINE)
# The page of the files that are no folders.
FILES = "foundations"

WORDS = """\
What the package `creativelib` offers, from its docstrings. Shapes stand in the signatures:
`Float[Tensor, 'n d']` is a tensor of n rows with d numbers each. The names of the first table are
imported from the package itself, as in `from creativelib import load, steer`; all others from the
file they are in."""


def rooms() -> dict[str, str]:
    """Read from CONTRIBUTING.md what each room of the package holds, by the page's name."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = ROOM.findall(text)
    files = [f"`{name}`: {words}" for name, ending, words in found if ending == ".py"]
    folders = {
        name: words[0].upper() + words[1:]
        for name, ending, words in found
        if ending == "/" and (PACKAGE / name).is_dir()
    }
    return {FILES: "What all rooms need. " + "; ".join(files)} | folders


def modules(room: str) -> list[str]:
    """List the modules of a room that say or define something, by their names."""
    files = PACKAGE.glob("*.py") if room == FILES else (PACKAGE / room).rglob("*.py")
    names = []
    for file in sorted(files):
        relative = file.relative_to(ROOT).with_suffix("")
        if file.parent == PACKAGE and file.stem == "__init__" or file.stem == "__main__":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if ast.get_docstring(tree) or public(tree):
            names.append(".".join(relative.parts).removesuffix(".__init__"))
    return names


def public(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """List the public functions and classes that a file defines."""
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def page(room: str, words: str) -> str:
    """Format the page of a room."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    chapters = [
        f"[{number}](../../{file})"
        for file, number, files in CHAPTER.findall(readme)
        if f"`{room}/" in files
    ]
    shown = f" In chapters {', '.join(chapters)}." if chapters else ""
    parts = [f"# {room}\n\n{words}.{shown}\n"]
    for module in modules(room):
        directive = f".. automodule:: {module}\n   :members:\n   :ignore-module-all:"
        title = module.removeprefix("creativelib.")
        parts.append(f"## {title}\n\n```{{eval-rst}}\n{directive}\n```\n")
    return "\n".join(parts)


def summary(module: str, name: str) -> str:
    """Read the first line of a docstring, without its full stop."""
    file = PACKAGE / f"{module.replace('.', '/')}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node = next(node for node in public(tree) if node.name == name)
    return (ast.get_docstring(node) or "").split("\n")[0].rstrip(".")


def index() -> str:
    """Format the page that lists the public names and the rooms."""
    rows = [
        f"| {{py:obj}}`{name} <creativelib.{module}.{name}>` | {summary(module, name)} | "
        f"[{page_of(module)}](api/{page_of(module)}.md) |"
        for name, module in sorted(creativelib._HOMES.items(), key=lambda pair: pair[0].lower())
    ]
    names = "\n".join(["| name | what it is or does | room |", "|---|---|---|", *rows])
    listed = "\n".join(f"- [{room}](api/{room}.md): {words}" for room, words in rooms().items())
    return f"# API reference\n\n{WORDS}\n\n## Public names\n\n{names}\n\n## Rooms\n\n{listed}\n"


def page_of(module: str) -> str:
    """Name the page that a module is on."""
    return module.split(".")[0] if (PACKAGE / module.split(".")[0]).is_dir() else FILES


def pages() -> dict[Path, str]:
    """Return the text of each page by its file."""
    return {INDEX: index()} | {FOLDER / f"{room}.md": page(room, w) for room, w in rooms().items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8", newline="\n")

"""Copy the repository's address from pyproject.toml into the files that need it: `make url`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w-]+")


def address() -> str:
    """Read the address from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def copies() -> list[Path]:
    """List the files with copies of the address.

    They are the book's configuration and the notebooks, whose first cell installs the package on
    Colab.
    """
    return [ROOT / "_config.yml", *sorted((ROOT / "notebooks").glob("*.ipynb"))]


def main() -> None:
    for file in copies():
        text = file.read_text(encoding="utf-8")
        file.write_text(ADDRESS.sub(address(), text), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

"""Write the repository's address, set once in pyproject.toml, into the files that need a copy of it: `make url`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w-]+")


def address() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def copies() -> list[Path]:
    """The book's configuration, and the notebooks, whose first cell installs the package on Colab."""
    return [ROOT / "_config.yml", *sorted((ROOT / "notebooks").glob("*.ipynb"))]


def main() -> None:
    for file in copies():
        file.write_text(ADDRESS.sub(address(), file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

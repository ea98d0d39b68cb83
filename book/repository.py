"""Copy the repository's address from pyproject.toml into the files that need it: `make url`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
GITHUB = re.compile(
    r"(?:https?://|git\+https://|(?:ssh://)?git@)(?:www\.)?github\.com[:/]"
    r"(?P<owner>[\w-]+)/(?P<name>(?!\.git/*$)[\w.-]+?)(?:\.git)?/*"
)
# The only places with copies. Other addresses in these files are somebody else's.
IN_CONFIGURATION = re.compile(r"(?<=^  url: )\S+", re.MULTILINE)
IN_NOTEBOOK = re.compile(r'(?<=\\"git\+)[^\\"]+')


def settle(address: str) -> str:
    """Write an address as copies have it: https://github.com/OWNER/NAME, without .git or slash.

    Takes what git takes, SSH addresses too. Raises ValueError if it leads to no repository.
    """
    found = GITHUB.fullmatch(address.strip())
    if found is None:
        raise ValueError(
            f"Repository in pyproject.toml is {address!r}; expected https://github.com/OWNER/NAME"
        )
    return f"https://github.com/{found['owner']}/{found['name']}"


def address() -> str:
    """Read the address from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return settle(project["urls"]["Repository"])


def copies() -> dict[Path, re.Pattern[str]]:
    """List the files with copies of the address, and where in them.

    They are the book's configuration and the notebooks, whose first cell installs the package on
    Colab.
    """
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {ROOT / "_config.yml": IN_CONFIGURATION} | dict.fromkeys(notebooks, IN_NOTEBOOK)


def main() -> None:
    new = address()
    for file, place in copies().items():
        text = file.read_text(encoding="utf-8")
        file.write_text(place.sub(new, text), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

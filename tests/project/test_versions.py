"""Lists of versions agree with the ranges: the lowest are the floors, and Colab's are allowed.

`make lowest` and `make colab` install the two lists and run the package in them.
"""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [Requirement(text) for text in PROJECT["dependencies"]]
TESTED = [
    *DEPENDENCIES,
    *(Requirement(text) for text in PROJECT["optional-dependencies"]["test"]),
]
# What the set-up cell has to install on Colab.
MISSING_ON_COLAB = {"jaxtyping", "open-clip-torch", "torch-fidelity", "tyro", "zuko"}


def read_pins(name: str) -> dict[str, Version]:
    """Read a list of name==version lines."""
    lines = (ROOT / "tests" / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(package): Version(version) for package, version in pairs}


COLAB = read_pins("colab.txt")
LOWEST = read_pins("lowest.txt")


def floor(requirement: Requirement) -> Version:
    """Return the lowest version that a requirement allows."""
    (bound,) = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
    return bound


@pytest.mark.parametrize("requirement", DEPENDENCIES, ids=lambda each: each.name)
def test_what_colab_has_is_allowed(requirement):
    name = canonicalize_name(requirement.name)
    if name in MISSING_ON_COLAB:
        assert name not in COLAB
    else:
        assert COLAB[name] in requirement.specifier


@pytest.mark.parametrize("requirement", TESTED, ids=lambda each: each.name)
def test_the_lowest_versions_are_the_floors(requirement):
    assert LOWEST[canonicalize_name(requirement.name)] == floor(requirement)


def test_make_runs_both_lists():
    makefile = (ROOT / "Makefile").read_text()
    for target, python in (("colab", "3.13"), ("lowest", "3.11")):
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert recipe and f"-r tests/{target}.txt" in recipe[1]
        assert f"python{python}" in makefile

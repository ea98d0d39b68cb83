"""Facts that are stated in two places agree, and the promises of the set-up hold."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import creativelib
from book.repository import settle

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]]


def canonical(requirement: str) -> str:
    """Normalize a requirement's package name as package registries do."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def test_conda_installs_what_pip_installs():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert sorted(pip) == sorted([*REQUIREMENTS, "-e ."])
    assert f"python{PROJECT['requires-python']}" in conda


def test_constraints_pin_every_package():
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines), "only name==version"
    assert {canonical(requirement) for requirement in REQUIREMENTS} <= {
        canonical(line) for line in lines
    }


def test_every_range_is_bounded():
    assert [
        requirement
        for requirement in REQUIREMENTS
        if ">=" not in requirement or "<" not in requirement
    ] == []


def test_the_address_is_the_same_everywhere():
    address = settle(PROJECT["urls"]["Repository"])
    assert yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"] == address
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert set(re.findall(r"git\+(https://[^\s\"\\]+)", notebook.read_text())) == {address}, (
            notebook.name
        )
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CITATION.cff",
        *(ROOT / "book").glob("*.md"),
    ]:
        assert address not in page.read_text(), (
            f"{page.name} holds the address, which `make url` does not keep"
        )


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert creativelib.__version__ == PROJECT["version"] == citation["version"]


def test_import_is_light():
    heavy = ("diffusers", "transformers")
    modules = "creativelib, creativelib.world, creativelib.commands.cli"
    loaded = f"' '.join(name for name in {heavy} if name in sys.modules)"
    script = f"import sys, {modules}; sys.exit({loaded} or None)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_outside_the_book_lead_somewhere(page: str):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_ci_runs_the_tests():
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111, "not executable"
    assert "make test" in run.read_text()

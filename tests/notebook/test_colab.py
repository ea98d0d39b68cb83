"""'Open in Colab' leads to a notebook whose first cell installs the package.

It installs from the repository's one address and leaves torch alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from book import repository as addresses
from checks import notebooks

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = addresses.address()
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
PAGES = ROOT / "_build" / "html" / "notebooks"
# Colab has torch, diffusers, transformers and much more, but none of these. The last two need torch
# and must accept Colab's version.
ABSENT = ("creativelib", "zuko", "torch-fidelity")
# Colab's widgets are old, and its frontend needs them. Its torchao is too old for peft.
WIDGETS = "7.7.1"
TORCHAO = "0.10.0"
KEPT = ("torch", "torchvision", "numpy", "pandas", "ipywidgets", "ipykernel")
# Every kernel of Colab has loaded this module before the first cell.
START = """
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

sys.modules["google.colab"] = module_from_spec(ModuleSpec("google.colab", None))
"""
# The reader's next cell. The tests read the line that it prints.
NEXT = """
import json
from importlib.metadata import version
import matplotlib.pyplot as plt
import torch
import creativelib
from creativelib.notebook.stored import figures
from creativelib.notebook.plots import grid

pipe = creativelib.load(MODEL)
generator = torch.Generator().manual_seed(0)
z = pipe.sample_prior(pipe.encode_text(["a photo of a pet"]), n=1, noise=generator)
picture = pipe.decode(z, generator=generator).flatten(0, 1)
adapters = creativelib.LoraConcept.init(pipe, "pet", generator=generator)
facts = {
    "file": creativelib.__file__,
    "version": creativelib.__version__,
    "versions": {name: version(name) for name in KEPT},
    "adapters": len(adapters),
    "spread": picture.std().item(),
    "figures": len(figures("steering-main")),
}
print(json.dumps(facts))
grid(picture)
plt.show()
""".replace("KEPT", repr(KEPT))


def set_up_cell(file: Path) -> str:
    return notebooks.source(notebooks.code_cells(notebooks.read(file))[0])


SET_UPS = {set_up_cell(file): file.stem for file in reversed(FILES)}


def environment_without(*starts: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(starts)}


def git(*arguments: str | Path, folder: Path = ROOT) -> str:
    """Run git on this checkout, even if a hook of another one runs the tests.

    Raises CalledProcessError.
    """
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        capture_output=True,
        text=True,
        env=environment_without("GIT_"),
        check=True,
    )
    return done.stdout.strip()


def canonical(name: str) -> str:
    """Normalize a package's name as package registries do."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Colab:
    """A fresh virtual environment with Colab's packages, and an empty folder for notebooks."""

    folder: Path
    # git uses this repository in the place of the project's address.
    origin: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def work(self) -> Path:
        return self.folder / "content"

    @property
    def site(self) -> Path:
        """The environment's own packages, apart from those that it was given."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder / "venv")}))

    @property
    def environment(self) -> dict[str, str]:
        """As on another machine: nothing leads to this checkout."""
        return environment_without(
            "GIT_", "JUPYTER_", "IPYTHON", "PYTHON", "MPLBACKEND", "VIRTUAL_ENV", "CONDA_"
        ) | {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.origin.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": ADDRESS,
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "jupyter"),
            "JUPYTER_PATH": str(self.folder / "jupyter"),
            "GIT_TERMINAL_PROMPT": "0",
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
        }

    def do(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def execute(self, *sources: str) -> list[notebooks.Cell]:
        """Run cells in a new kernel of the environment, errors and all."""
        cells = [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(sources)
        ]
        kernel = {"name": "colab", "display_name": "Python 3", "language": "python"}
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel},
            "cells": cells,
        }
        (self.work / "notebook.ipynb").write_text(json.dumps(notebook))
        done = self.do(
            "-m",
            "nbconvert",
            "--to",
            "notebook",
            "--execute",
            "--inplace",
            "--allow-errors",
            "--ExecutePreprocessor.timeout=300",
            "notebook.ipynb",
        )
        assert done.returncode == 0, done.stderr
        return notebooks.read(self.work / "notebook.ipynb")

    def stamps(self) -> dict[Path, int]:
        """Return the times of the environment's own files, except those that Python compiles."""
        return {
            file: file.stat().st_mtime_ns
            for file in self.site.rglob("*")
            if file.is_file() and file.suffix != ".pyc"
        }


def make_colab(folder: Path, origin: Path) -> Colab:
    """Make an environment with links to the running interpreter's packages, except those of ABSENT.

    Links spare gigabytes of downloads. They lie beside the environment, because pip never removes
    packages outside its environment. Of Colab's ipywidgets and torchao it has the names and the
    versions, which is what pip and peft look at.
    """
    colab = Colab(folder, origin)
    colab.work.mkdir()
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder / "venv"],
        check=True,
        capture_output=True,
    )
    given = folder / "given"
    given.mkdir()
    hidden = {file.parts[0] for name in ABSENT for file in distribution(name).files or ()}
    libraries = (
        Path(sysconfig.get_path("platlib")),
        Path(sysconfig.get_path("purelib")),
    )  # mostly one folder
    for name, entry in {
        entry.name: entry for library in libraries for entry in library.iterdir()
    }.items():
        if name not in hidden and not name.startswith("ipywidgets-"):
            (given / name).symlink_to(entry)
    declare(given, "ipywidgets", WIDGETS)
    # Python reads no .pth file in a folder that a .pth file names, so an editable package in there
    # stays unknown.
    (colab.site / "given.pth").write_text(str(given))
    (colab.site / "torchao").mkdir()
    (colab.site / "torchao" / "__init__.py").touch()
    declare(colab.site, "torchao", TORCHAO, "torchao/__init__.py")
    start = folder / "ipython" / "profile_default" / "startup"
    start.mkdir(parents=True)
    (start / "colab.py").write_text(START)
    pip = colab.python.parent / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{colab.python}" -m pip "$@"\n')
    pip.chmod(0o755)
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    argv = [str(colab.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
    )
    return colab


def declare(folder: Path, name: str, number: str, *files: str) -> None:
    """Write what pip writes about an installed package."""
    about = folder / f"{name}-{number}.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    (about / "METADATA").write_text(metadata)
    (about / "INSTALLER").write_text("pip\n")
    listed = [*files, *(f"{about.name}/{part}" for part in ("METADATA", "INSTALLER", "RECORD"))]
    (about / "RECORD").write_text("".join(f"{part},,\n" for part in listed))


def packages(folder: Path) -> dict[str, str]:
    """List the packages in a folder, with their versions."""
    return {
        canonical(found.metadata["Name"]): found.version
        for found in distributions(path=[str(folder)])
    }


def outputs(cell: notebooks.Cell, kind: str) -> list[Any]:
    """Return a cell's outputs of one kind: "text", or a MIME type."""
    found = [
        output.get("text") if kind == "text" else output.get("data", {}).get(kind)
        for output in cell["outputs"]
    ]
    return ["".join(value) for value in found if value is not None]


def errors(cells: list[notebooks.Cell]) -> str:
    """Return everything that the cells printed, if one of them failed."""
    failed = [
        "\n".join(output["traceback"])
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]
    return (
        "\n".join([text for cell in cells for text in outputs(cell, "text")] + failed)
        if failed
        else ""
    )


@pytest.fixture(scope="module")
def repository() -> Path:
    """Return the checkout's folder, if it is a git repository."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed, and pip needs it for the repository's address")
    try:
        git("rev-parse", "--verify", "HEAD")
        top = Path(git("rev-parse", "--show-toplevel"))
    except subprocess.CalledProcessError as error:
        pytest.skip(
            "this checkout is not a git repository with a commit, which pip could clone: "
            f"{error.stderr.strip()}"
        )
    if not top.samefile(ROOT):
        pytest.skip("this checkout is part of another git repository, not one that pip could clone")
    return ROOT


@pytest.fixture(scope="module")
def origin(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bare repository with the files of the last commit in a commit without parents.

    The checkout itself would not do: pip clones with a filter, and from a shallow checkout, as CI
    often has, git 2.39 then fetches without end.
    """
    folder = tmp_path_factory.mktemp("origin")
    git("init", "-q", "--bare", folder)
    (folder / "objects" / "info" / "alternates").write_text(
        f"{(repository / git('rev-parse', '--git-path', 'objects')).resolve()}\n"
    )
    commit = git(
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@example.org",
        "commit-tree",
        "-m",
        "The last commit's files",
        git("rev-parse", "HEAD^{tree}"),
        folder=folder,
    )
    git("update-ref", "HEAD", commit, folder=folder)
    return folder


@dataclass(frozen=True)
class Run:
    """The first run of a set-up cell on Colab."""

    colab: Colab
    # Source of the cell.
    set_up: str
    # Versions of the packages that it installed.
    installed: dict[str, str]
    # Facts that the reader's next cell printed, and pictures that it showed.
    facts: dict[str, Any]
    pictures: list[str]


@pytest.fixture(scope="module", params=SET_UPS, ids=SET_UPS.get)
def run(
    request: pytest.FixtureRequest, origin: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    colab = make_colab(tmp_path_factory.mktemp("colab"), origin)
    assert packages(colab.site) == {"torchao": TORCHAO}
    missing = colab.do(
        "-c",
        "import importlib.util, json, sys; print(json.dumps([name for name in sys.argv[1:]"
        " if importlib.util.find_spec(name) is None]))",
        "creativelib",
        "zuko",
        "torch_fidelity",
        "torch",
        "IPython",
        "pip",
    )
    assert json.loads(missing.stdout) == ["creativelib", "zuko", "torch_fidelity"], (
        "not what Colab looks like"
    )
    first, second = colab.execute(request.param, NEXT)
    if (
        errors([first])
        and colab.do(
            "-m", "pip", "download", "-q", "--no-deps", "-d", colab.folder, "hatchling"
        ).returncode
    ):
        pytest.skip("pip reaches no package index, where it would get the build backend")
    if found := errors([first, second]):
        pytest.fail(found, pytrace=False)
    facts = json.loads(
        next(line for line in "".join(outputs(second, "text")).splitlines() if line.startswith("{"))
    )
    return Run(colab, request.param, packages(colab.site), facts, outputs(second, "image/jpeg"))


def test_the_committed_package_is_installed(run: Run):
    committed = tomllib.loads(git("show", "HEAD:pyproject.toml", folder=run.colab.origin))[
        "project"
    ]["version"]
    assert run.facts["version"] == run.installed["creativelib"] == committed
    assert Path(run.facts["file"]) == run.colab.site / "creativelib" / "__init__.py"
    source = json.loads(
        (run.colab.site / f"creativelib-{committed}.dist-info" / "direct_url.json").read_text()
    )
    assert source == {
        "url": ADDRESS,
        "vcs_info": {"vcs": "git", "commit_id": git("rev-parse", "HEAD", folder=run.colab.origin)},
    }


def test_every_committed_file_comes_along(run: Run):
    """Code, checkpoints and results."""
    package = run.colab.site / "creativelib"
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    listed = git(
        "ls-tree",
        "-r",
        "--name-only",
        "HEAD",
        "creativelib",
        "benchmarks/results",
        folder=run.colab.origin,
    ).splitlines()
    assert found == {
        name.replace("benchmarks/results", "creativelib/stored_results").removeprefix(
            "creativelib/"
        )
        for name in listed
    }
    assert run.facts["figures"] > 0


def test_the_bundled_model_draws(run: Run):
    """setup() has told the kernel to store pictures as JPEG."""
    assert len(run.pictures) == 1 and run.facts["spread"] > 0.05


def test_what_colab_has_stays(run: Run):
    assert run.installed.keys() >= set(ABSENT)
    given = packages(run.colab.folder / "given")
    assert run.installed.keys() & given.keys() == set()
    assert run.facts["versions"] == {name: given[name] for name in KEPT}
    assert run.facts["versions"]["ipywidgets"] == WIDGETS


def test_the_torchao_that_peft_refuses_is_gone(run: Run):
    assert "torchao" not in run.installed and not (run.colab.site / "torchao").exists()
    assert run.facts["adapters"] == 1


def test_a_second_run_installs_nothing(run: Run):
    """In a new kernel, as after a restart, and once more in the same one."""
    stamps = run.colab.stamps()
    cells = run.colab.execute(run.set_up, run.set_up)
    assert errors(cells) == ""
    assert "pip" not in "".join(text for cell in cells for text in outputs(cell, "text"))
    assert run.colab.stamps() == stamps


def test_every_set_up_cell_installs_from_the_address():
    for file in FILES:
        assert re.findall(
            r'^    %pip install .*"git\+(\S+)"$', set_up_cell(file), re.MULTILINE
        ) == [ADDRESS], file.name


def test_a_new_address_reaches_every_copy_and_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Twice in a row: a name with a dot is found again."""
    (tmp_path / "notebooks").mkdir()
    copies = [file.relative_to(ROOT) for file in addresses.copies()]
    assert set(copies) == {Path("_config.yml"), *(file.relative_to(ROOT) for file in FILES)}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated = tomllib.loads(project)["project"]["urls"]["Repository"]
    for file in copies:
        shutil.copyfile(ROOT / file, tmp_path / file)
    monkeypatch.setattr(addresses, "ROOT", tmp_path)
    for home in ("some-one/new.home", "some-one/home"):
        new = f"https://github.com/{home}"
        (tmp_path / "pyproject.toml").write_text(project.replace(stated, f"{new}.git/"))
        addresses.main()
        for file in copies:
            assert (tmp_path / file).read_text(encoding="utf-8") == (ROOT / file).read_text(
                encoding="utf-8"
            ).replace(ADDRESS, new), file


def test_other_addresses_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Even those that begin as the repository's does."""
    others = f"{ADDRESS}-data, {ADDRESS}/issues, git+{ADDRESS} and https://github.com/a/b.c"
    config = (
        f"# {others}\nrepository:\n  url: {{}}  # see above\n  branch: main\nhtml:\n  x: {others}\n"
    )
    cell = f'"# {others}\\n", "%pip install \\"git+{{}}\\""'
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.ipynb").write_text(cell.format(ADDRESS))
    (tmp_path / "_config.yml").write_text(config.format(ADDRESS))
    new = "https://github.com/some-one/home"
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{new}"\n')
    monkeypatch.setattr(addresses, "ROOT", tmp_path)
    addresses.main()
    assert (tmp_path / "notebooks" / "a.ipynb").read_text() == cell.format(new)
    assert (tmp_path / "_config.yml").read_text() == config.format(new)


@pytest.mark.parametrize(
    "stated, settled",
    [
        ("https://github.com/a/b", "a/b"),
        ("https://github.com/a/b/", "a/b"),
        ("https://github.com/a/b.git", "a/b"),
        ("https://github.com/a/b.git/", "a/b"),
        ("https://github.com/a/b.c", "a/b.c"),
        ("https://github.com/a/b.github.io.git", "a/b.github.io"),
        ("https://github.com/a-1/b_c-2.3", "a-1/b_c-2.3"),
        ("http://www.github.com/a/b", "a/b"),
        ("git@github.com:a/b.c.git", "a/b.c"),
        ("ssh://git@github.com/a/b.git", "a/b"),
        ("git+https://github.com/a/b", "a/b"),
        (" https://github.com/a/gitb\n", "a/gitb"),
    ],
)
def test_addresses_are_settled(stated: str, settled: str):
    assert addresses.settle(stated) == f"https://github.com/{settled}"


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "a/b",
        "https://github.com/a",
        "https://github.com/a/",
        "https://github.com/a/.git",
        "https://github.com/a/b/tree/main",
        "https://github.com/a/b?tab=readme",
        "https://gitlab.com/a/b",
        "https://example.org/github.com/a/b",
    ],
)
def test_addresses_of_no_repository_are_refused(stated: str):
    with pytest.raises(ValueError, match="Repository in pyproject.toml is"):
        addresses.settle(stated)


def button(page: str) -> str:
    """Return the address of a page's Colab button.

    sphinx_book_theme.header_buttons.launch makes it from the book's configuration.
    """
    place = CONFIG["repository"]
    owner, name = place["url"].split("github.com/")[-1].split("/")[:2]
    folder = place["path_to_book"].strip("/")
    path = f"{folder}/{page}.ipynb" if folder else f"{page}.ipynb"
    colab = CONFIG["launch_buttons"]["colab_url"].strip("/")
    return f"{colab}/github/{owner}/{name}/blob/{place['branch']}/{path}"


def test_colab_buttons_lead_to_notebooks_of_the_repository(repository: Path):
    repo = ADDRESS.removeprefix("https://github.com/")
    start = f"https://colab.research.google.com/github/{repo}/blob/main/"
    files = git("ls-files", "--cached", "--others", "--exclude-standard", "--full-name")
    for file in FILES:
        link = button(file.relative_to(ROOT).with_suffix("").as_posix())
        assert link.startswith(start)
        path = link.removeprefix(start)
        assert path in files.splitlines() and (repository / path).samefile(file), link
        assert (
            json.loads(file.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"]
            == "python3"
        ), "the kernel that Colab has"


def test_colab_buttons_name_a_branch(repository: Path):
    if git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("a shallow clone does not know the repository's branches")
    branches = {
        ref.split("/", 3 if ref.startswith("refs/remotes/") else 2)[-1]
        for ref in git(
            "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes"
        ).splitlines()
    }
    assert CONFIG["repository"]["branch"] in branches


def test_rendered_pages_have_these_buttons():
    settled = (ROOT / "_config.yml").stat().st_mtime
    pages = [page for page in PAGES.glob("*.html") if page.stat().st_mtime > settled]
    if not pages:
        pytest.skip(
            "no rendered pages, or none since the configuration was written: `make book` makes them"
        )
    for page in pages:
        links = set(re.findall(r'href="(https://colab[^"]+)"', page.read_text(encoding="utf-8")))
        assert links == {button(f"notebooks/{page.stem}")}, page.name

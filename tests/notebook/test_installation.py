"""The notebooks' first cell: where it installs, and what it says where it does not."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from checks import notebooks
from creativelib.notebook import installation, session

FILE = min((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CELL = notebooks.source(notebooks.code_cells(notebooks.read(FILE))[0])
KEPT = ("torch", "torchvision", "numpy", "pandas", "ipywidgets", "ipykernel")
find_spec = importlib.util.find_spec


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return names of packages that seem to be missing; the test may add to them."""
    names = {"creativelib"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in names else find_spec(name)
    )
    return names


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Run the first cell with nothing but a record of what it does."""
    monkeypatch.delenv("CREATIVELIB_INSTALL", raising=False)
    done = []
    monkeypatch.setattr(session, "setup", lambda: done.append("setup"))
    monkeypatch.setattr(installation, "drop_refused_torchao", lambda: done.append("torchao"))

    def magic(name: str, line: str) -> None:
        done.append(f"{name} {line.format(**names)}")

    names = {"get_ipython": lambda: SimpleNamespace(run_line_magic=magic)}

    def run() -> list[str]:
        exec(TransformerManager().transform_cell(CELL), names)
        return done

    return run


def on_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))


def when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATIVELIB_INSTALL", "1")


def test_where_the_package_is_nothing_is_installed(run, monkeypatch: pytest.MonkeyPatch):
    on_colab(monkeypatch)
    when_asked(monkeypatch)
    assert run() == ["setup"]


def test_elsewhere_one_line_says_which_kernel_to_choose(run, absent: set[str]):
    with pytest.raises(ImportError) as raised:
        run()
    said = str(raised.value)
    assert "\n" not in said and ".venv" in said and "%env CREATIVELIB_INSTALL=1" in said


@pytest.mark.parametrize("where", [on_colab, when_asked])
def test_what_is_installed_keeps_its_version(where, run, absent, monkeypatch: pytest.MonkeyPatch):
    where(monkeypatch)
    pip, *rest = run()
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in KEPT]
    assert pip.startswith(f'pip install -q {" ".join(versions)} "git+https://github.com/')
    assert rest == ["torchao", "setup"]


def test_what_is_not_installed_is_not_kept(run, absent, monkeypatch: pytest.MonkeyPatch):
    on_colab(monkeypatch)
    absent |= set(KEPT)
    assert run()[0].startswith('pip install -q  "git+')


def test_the_cell_is_short_and_calls_no_shell():
    lines = CELL.splitlines()
    assert len(lines) <= 22
    assert [line for line in lines if line.lstrip().startswith("!")] == []


@pytest.mark.parametrize("found, refused", [(False, True), (True, False), (True, True)])
def test_only_a_torchao_that_peft_refuses_is_uninstalled(
    found: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
):
    commands = []

    def do(command: list[str], **kwargs) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=int(refused and command[1] == "-c"))

    monkeypatch.setattr(installation.util, "find_spec", lambda name: found or None)
    monkeypatch.setattr(subprocess, "run", do)
    installation.drop_refused_torchao()
    uninstalled = [command for command in commands if "uninstall" in command]
    assert [command[-1] for command in uninstalled] == ["torchao"] * (found and refused)
    assert all(command[0] == sys.executable for command in commands)

import random
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from creativelib.errors import InputError
from creativelib.notebook import session

SANITIZE = Path(__file__).parents[1] / "sanitize.cfg"


@pytest.fixture(autouse=True)
def threads():
    """Leave torch's threads as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def draws() -> tuple[float, float, float]:
    from_numpy = float(np.random.rand())  # noqa: NPY002 - the generator that `setup` seeds
    return random.random(), from_numpy, float(torch.rand(()))


def test_setup_fixes_seeds():
    session.setup()
    first = draws()
    session.setup()
    assert draws() == first
    session.setup(seed=1)
    assert draws() != first


def test_setup_keeps_to_the_threads_it_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    session.setup()
    assert torch.get_num_threads() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    session.setup()
    assert torch.get_num_threads() <= session.THREADS


def test_the_machine_is_one_line_that_tests_of_notebooks_ignore(capsys: pytest.CaptureFixture[str]):
    session.setup()
    printed = capsys.readouterr().out
    regex, replace = re.search(
        r"\[machine\]\nregex: (.*)\nreplace: (.*)", SANITIZE.read_text(encoding="utf-8")
    ).groups()
    assert re.sub(regex, replace, printed) == "MACHINE\n"
    assert torch.__version__ in printed


def test_set_up_needs_nothing_that_windows_lacks(monkeypatch, capsys):
    """Simulated: without os.sysconf, and on a system that does not tell its processors."""
    before = session.machine()
    monkeypatch.delattr("os.sysconf")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    monkeypatch.setattr("sys.platform", "win32")
    assert session.machine() == before
    session.setup()
    assert "threads: 1, memory: " in capsys.readouterr().out


def test_pictures_are_stored_as_jpeg_and_plots_as_png(monkeypatch: pytest.MonkeyPatch):
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib.figure import Figure

    shell = InteractiveShell()
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    session._store_small_figures()
    plot = Figure()
    picture = Figure()
    plot.add_subplot().plot([0, 1])
    picture.add_subplot().imshow(np.zeros((4, 4, 3)))
    format = shell.display_formatter.format
    assert {kind for kind in format(plot)[0] if kind.startswith("image/")} == {"image/png"}
    assert {kind for kind in format(picture)[0] if kind.startswith("image/")} == {"image/jpeg"}


def test_a_model_that_cannot_run_prints_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not session.can_run("kandinsky-2-1")
    assert capsys.readouterr().out == (
        "Kandinsky 2.1 needs a GPU with 9 GB, and this machine has none: its cells do nothing\n"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=8e9)
    )
    assert not session.can_run("kandinsky-2-2")
    assert "needs a GPU with 13 GB, and this one has 8 GB" in capsys.readouterr().out
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=16e9)
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert not session.can_run("kandinsky-2-1")
    assert (
        "is not whole in the cache at /nowhere and cannot be downloaded" in capsys.readouterr().out
    )
    with pytest.raises(
        InputError, match="name is 'dall-e'; expected one of menagerie, kandinsky-2-1"
    ):
        session.can_run("dall-e")

"""Every stage of the stack in small: it trains and writes the weights that the next one reads."""

import json
import subprocess
import sys
import threading

import pytest
import torch

from creativelib.fitting.loop import Run
from creativelib.training import clip, decoder, export, finish, prior, stack, stream, vqmodel
from creativelib.unclip.pipeline import load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shrink):
    """Train every network of a stack for two steps, in a folder of its own."""
    place = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, place, tmp_path_factory.mktemp("cache"))
        for stage in (clip, vqmodel, prior, decoder, finish):
            stage.main(Run(CPU))
        yield place


def test_the_stages_write_a_stack_that_loads_and_draws(folder):
    pipe = load(folder, device="cpu")
    z = pipe.sample_prior(
        pipe.encode_text(["a photo of a pet"]), 2, noise=torch.Generator().manual_seed(0)
    )
    pictures = pipe.decode(z, generator=torch.Generator().manual_seed(0), steps=2)
    assert pictures.shape == (1, 2, 3, stream.SIDE, stream.SIDE) and pictures.isfinite().all()


def test_every_stage_notes_its_facts(folder):
    card = json.loads((folder / "training.json").read_text())
    assert set(card) == {"clip", "vqmodel", "prior", "decoder"}
    assert card["clip"]["steps"] == card["decoder"]["decoder"]["steps"] == 2


def test_no_file_is_too_large_to_pass_around(folder):
    assert all(file.stat().st_size < 16 * 2**20 for file in folder.rglob("*.safetensors"))


def stage(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_stage_that_fails_is_named_and_ends_the_others():
    slow = stage("import time; time.sleep(60)")
    with pytest.raises(RuntimeError, match="clip failed"):
        stack.wait({"prior": slow, "clip": stage("raise SystemExit(3)")})
    assert slow.wait(10) != 0


def test_the_stack_waits_for_all_of_its_stages():
    stages = {"clip": stage("pass"), "vqmodel": stage("import time; time.sleep(0.5)")}
    processes = list(stages.values())
    stack.wait(stages)
    assert [process.returncode for process in processes] == [0, 0]


def test_later_stages_start_when_the_earlier_ones_are_ready(tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path))
    waiting = threading.Thread(target=export.wait_for, args=(("clip", "vqmodel"),))
    waiting.start()
    export.mark_ready("clip")
    waiting.join(0.8)
    assert waiting.is_alive()
    export.mark_ready("vqmodel")
    waiting.join(5)
    assert not waiting.is_alive()

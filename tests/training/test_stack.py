"""Every stage of the stack, tried small: it trains, writes what the next one reads, and goes on where it was cut off."""

import json
from dataclasses import replace

import pytest
import torch

from creativelib.pipeline import load
from creativelib.training import clip, decoder, export, finish, prior, reader, stream, vqmodel
from creativelib.training.loop import Recipe, Run

CPU = torch.device("cpu")
SMALL = stream.Supply(chunk=16, distinct=3, pool=2, every=1)


def short(recipe: Recipe, steps: int = 2) -> Recipe:
    return replace(recipe, steps=steps, batch=8, warmup=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stack of which every network was trained for two steps, in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("stack")
        patch.setenv("CREATIVELIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(stream, "supply", lambda device: SMALL)
        patch.setattr(export, "FOLDER", place)
        patch.setattr(export, "PRIOR", place / "prior")
        patch.setattr(export, "DECODER", place / "decoder")
        patch.setattr(finish, "INDEX", {place / path.name: index for path, index in finish.INDEX.items()})
        patch.setattr(clip, "PLAN", replace(clip.PLAN, recipe=short(clip.PLAN.recipe)))
        patch.setattr(vqmodel, "TOGETHER", short(vqmodel.TOGETHER))
        patch.setattr(vqmodel, "DECODER", short(vqmodel.DECODER))
        patch.setattr(prior, "RECIPE", short(prior.RECIPE))
        patch.setattr(reader, "RECIPE", short(reader.RECIPE))
        patch.setattr(decoder, "RECIPE", short(decoder.RECIPE))
        for stage in (clip, vqmodel, prior, decoder, finish):
            stage.main(Run(CPU))
        yield place


def test_the_stages_write_a_stack_that_loads_and_draws(folder):
    pipe = load(folder, device="cpu")
    z = pipe.sample_prior(pipe.encode_text(["a photo of a pet"]), 2, generator=torch.Generator().manual_seed(0))
    pictures = pipe.decode(z, generator=torch.Generator().manual_seed(0), steps=2)
    assert pictures.shape == (1, 2, 3, stream.SIDE, stream.SIDE) and pictures.isfinite().all()


def test_every_stage_notes_what_it_did(folder):
    card = json.loads((folder / "training.json").read_text())
    assert set(card) == {"clip", "vqmodel", "prior", "decoder"}
    assert card["clip"]["steps"] == card["decoder"]["decoder"]["steps"] == 2


def test_no_file_is_too_large_to_pass_around(folder):
    assert all(file.stat().st_size < 16 * 2**20 for file in folder.rglob("*.safetensors"))

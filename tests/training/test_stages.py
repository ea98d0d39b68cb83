"""Every stage outside the stack in small: it takes two steps and writes a folder that loads."""

import importlib
import json
from functools import partial
from inspect import signature

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch.nn.functional import interpolate

from creativelib.fitting.loop import Run
from creativelib.semantica.model import Semantica
from creativelib.training import (
    dino,
    export,
    judge,
    oracle,
    semantica,
    stream,
    unaided,
    variants,
    vqa,
)
from creativelib.training.__main__ import STAGES
from creativelib.unclip.autoregressive import AutoregressivePrior
from creativelib.unclip.pipeline import load
from creativelib.vision.encoders import Encoder
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa
from creativelib.world.oracle import Net
from creativelib.world.scenes import sample_scenes

CPU = torch.device("cpu")
MINUTES = 10.0
UNET = "diffusion_pytorch_model.safetensors"
# By stage, the files with its networks' weights.
WRITTEN = {
    "autoregressive": ["autoregressive/model.safetensors"],
    "dino": ["dino/model.safetensors"],
    "judge": ["judge/open_clip_model.safetensors"],
    "semantica": [f"semantica/pairs/{UNET}", f"semantica/control/{UNET}"],
    "vqa": ["vqa/model.safetensors"],
}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


PICTURES = torch.rand(2, 3, 128, 128, generator=seeded(0))


def second_hand():
    """Make random pictures, and scenes that they do not show."""
    shape = (6, 3, stream.SIDE, stream.SIDE)
    pictures = torch.randint(256, shape, generator=seeded(3)).to(torch.uint8)
    return pictures, sample_scenes(6, seeded(4))


def module(stage):
    return importlib.import_module(f"creativelib.training.{stage}")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    return tmp_path_factory.mktemp("drawings")


@pytest.fixture(autouse=True)
def drawn_once(drawings, tmp_path):
    """Let all stages find the pictures and pages that one of them has drawn."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "data").symlink_to(drawings)


@pytest.fixture
def spent(monkeypatch):
    """Record the minutes of each training from now on in the list returned."""
    minutes = []

    def watched(train, *args, **named):
        minutes.append(named["minutes"])
        return train(*args, **named)

    for each in (*WRITTEN, "oracle", "clip"):
        monkeypatch.setattr(module(each), "train", partial(watched, module(each).train))
    monkeypatch.setattr(vqa, "second_hand", second_hand)
    return minutes


def load_judge(folder):
    found = Judge.load(folder / "judge")
    assert found.size == judge.SIDE
    assert found.encode_images(PICTURES).isfinite().all()


def load_dino(folder):
    encoded = Encoder.load(folder / "dino").encode(PICTURES)
    assert encoded.tokens.shape == (2, 1 + (dino.SIDE // dino.PATCH) ** 2, dino.WIDTH)


def load_vqa(folder):
    assert len(BlipVqa.load(folder / "vqa").ask(PICTURES, "is this a pet?")) == 2


def load_autoregressive(folder):
    """It is conditioned by the stack."""
    cond = load(folder, device="cpu").encode_text(["a photo of a pet"])
    z = AutoregressivePrior.load(folder / "autoregressive").sample(cond, 2, generator=seeded(0))
    assert z.shape == (1, 2, cond.pooled.shape[1]) and z.isfinite().all()


LOADED = {
    "autoregressive": load_autoregressive,
    "dino": load_dino,
    "judge": load_judge,
    "vqa": load_vqa,
}


@pytest.mark.parametrize("stage", WRITTEN)
def test_a_stage_takes_two_steps_and_writes_a_folder_that_loads(stage, tried, spent):
    facts = module(stage).main(Run(CPU, MINUTES))
    runs = [facts] if "steps" in facts else list(facts.values())
    assert [run["steps"] for run in runs] == [2] * len(WRITTEN[stage])
    assert torch.tensor([list(run["losses"].values()) for run in runs]).isfinite().all()
    assert sum(spent) == pytest.approx(MINUTES)
    assert json.loads((tried / "training.json").read_text())[stage] == facts
    sums = json.loads((tried / "sha256.json").read_text())
    assert set(WRITTEN[stage]) < set(sums)
    assert sums == export.sums()
    weights = [value for file in WRITTEN[stage] for value in load_file(tried / file).values()]
    assert all(value.isfinite().all() for value in weights if value.is_floating_point())
    if stage in LOADED:
        LOADED[stage](tried)


def test_an_oracles_first_stage_keeps_its_weights(tried, spent):
    facts = oracle.first_stage("residual", Run(CPU, MINUTES))
    assert facts["steps"] == 2 and spent == [MINUTES]
    assert json.loads((tried / "training.json").read_text())["oracle, residual, drawn"] == facts
    weights = load_file(oracle.weights_file(oracle.recipe("residual", 0).name))
    Net("residual", stream.SIDE).load_state_dict(weights)


def test_variants_use_the_stacks_own_encoders(tried, spent):
    dino.main(Run(CPU))
    spent.clear()
    facts = variants.main(Run(CPU, MINUTES))
    assert [facts[name]["steps"] for name in variants.VARIANTS] == [2] * len(variants.VARIANTS)
    assert sum(spent) == pytest.approx(MINUTES)
    for name, (encoder, _) in variants.VARIANTS.items():
        unet = UNet2DConditionModel.from_pretrained(variants.folder(name))
        model = Semantica(semantica.load_encoder(encoder, CPU), unet, export.load_movq())
        shown = torch.rand(1, 2, 3, 128, 128, generator=seeded(0))
        with torch.no_grad():
            varied = model.vary(shown, 2, generator=seeded(1), steps=2)
        assert varied.shape == shown.shape and varied.isfinite().all()


def test_a_clip_without_labels_is_kept_apart(tried, spent, tmp_path):
    facts = unaided.main(Run(CPU, MINUTES))
    assert facts["steps"] == 2 and spent == [MINUTES]
    own = load_file(tmp_path / "cache" / "clip-unaided" / "model.safetensors")
    bundled = load_file(tried / "prior" / "image_encoder" / "model.safetensors")
    assert own.keys() == bundled.keys()
    assert any(not torch.equal(own[name], bundled[name]) for name in own)


@pytest.mark.parametrize("stage", [dino, judge, vqa])
def test_small_pictures_are_means_of_areas(stage):
    pictures = torch.rand(2, 3, 128, 128, generator=seeded(0))
    ids = torch.zeros(2, 1, 4, dtype=torch.int64)
    pixels = stage.prepare(pictures, sample_scenes(2, seeded(1)), ids)["pixels"]
    means = interpolate(pictures, size=64, mode="area")
    assert pixels.dtype == torch.uint8
    assert (stream.as_picture(pixels) - means).abs().max() < 0.51 / 255


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_exists_and_takes_a_run(stage):
    name, _, part = stage.partition("-")
    found = module(name).first_stage if part else module(name).main
    assert list(signature(found).parameters)[-1] == "run"

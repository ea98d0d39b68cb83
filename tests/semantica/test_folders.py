"""Folders of pictures as pages: reading, refusals, training, resuming and drawing."""

import json
from dataclasses import replace

import pytest
import torch

from creativelib.commands import concepts
from creativelib.errors import InputError
from creativelib.fitting import loop
from creativelib.pictures import save_picture
from creativelib.semantica.folders import FolderConfig, learn, read
from creativelib.semantica.model import Semantica
from writes import error_of, note_writes

SHORT = FolderConfig(size=16, steps=3, batch=4, channels=(16, 32), layers=1)


@pytest.fixture
def pages(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for page, count in (("a", 3), ("b", 2)):
        (tmp_path / "pages" / page).mkdir(parents=True)
        for i in range(count):
            save_picture(
                torch.rand(3, 16 + 4 * i, 20, generator=generator),
                tmp_path / "pages" / page / f"{i}.png",
            )
    return tmp_path / "pages"


def test_a_size_that_the_networks_cannot_halve_is_refused_before_pictures_are_read(parts, tmp_path):
    encoder, movq = parts
    with pytest.raises(InputError, match="size is 20; expected a multiple of 8"):
        learn(tmp_path / "none", tmp_path / "out", encoder, movq, FolderConfig(size=20))


def test_pages_are_read_and_fitted(pages):
    found = read(pages, 16)
    assert found.pixels.shape == (5, 3, 16, 16) and found.page.tolist() == [0, 0, 0, 1, 1]


def test_a_file_that_cannot_be_used_is_named(pages, tmp_path):
    with pytest.raises(InputError, match="expected a folder of folders of pictures"):
        read(tmp_path / "nothing", 16)
    with pytest.raises(InputError, match=r"0.png' of 20 x 16 pixels; expected at least 18 x 18"):
        read(pages, 18)
    (pages / "b" / "1.png").write_text("no picture")
    with pytest.raises(InputError, match=r"1.png', which cannot be read as a picture"):
        read(pages, 16)
    (pages / "b" / "1.png").unlink()
    with pytest.raises(InputError, match="holds 1 pictures"):
        read(pages, 16)


def test_training_on_folders_writes_a_model_that_draws_variations(pages, parts, tmp_path):
    out = tmp_path / "semantica"
    encoder, movq = parts
    facts = learn(pages, out, encoder=encoder, movq=movq, config=SHORT, device="cpu")
    assert facts["steps"] == 3
    varied = Semantica.load(out).vary(
        torch.rand(1, 2, 3, 16, 16), 3, generator=torch.Generator().manual_seed(0), steps=2
    )
    assert varied.shape == (1, 3, 3, 16, 16)
    concepts.vary(
        [pages / "a" / "0.png"], tmp_path / "varied", str(out), count=2, steps=2, device="cpu"
    )
    assert {file.name for file in (tmp_path / "varied").iterdir()} == {
        "gallery.png",
        "settings.json",
        "variation-0.png",
        "variation-1.png",
    }


def test_a_killed_training_resumes_to_the_same_weights(pages, parts, tmp_path, monkeypatch):
    learn(pages, tmp_path / "unbroken", *parts, SHORT, "cpu")
    real = loop.generator
    calls = []

    def killed(recipe, step, device):
        calls.append(step)
        if step == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        return real(recipe, step, device)

    monkeypatch.setattr(loop, "generator", killed)
    monkeypatch.setattr(
        "creativelib.semantica.folders.Recipe", lambda *a, **k: loop.Recipe(*a, **k, save_every=0.0)
    )
    with pytest.raises(KeyboardInterrupt):
        learn(pages, tmp_path / "killed", *parts, SHORT, "cpu")
    learn(pages, tmp_path / "killed", *parts, SHORT, "cpu")
    assert calls == [0, 1, 2, 2]
    unbroken = Semantica.load(tmp_path / "unbroken").unet.state_dict()
    resumed = Semantica.load(tmp_path / "killed").unet.state_dict()
    assert unbroken.keys() == resumed.keys()
    for name, value in unbroken.items():
        assert torch.equal(resumed[name], value)


def test_another_setting_in_the_same_folder_is_refused(pages, parts, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "settings.json").write_text(json.dumps({"settings": {"size": 9}}))
    (tmp_path / "out" / "checkpoint.safetensors").touch()
    with pytest.raises(InputError, match="holds a run with other settings: .*size is 9 and not 16"):
        learn(pages, tmp_path / "out", *parts, SHORT, "cpu")


def test_any_write_may_fail_and_the_same_training_goes_on(pages, parts, tmp_path, monkeypatch):
    out = tmp_path / "out"
    made = ["settings.json", "checkpoint.safetensors", "config.json"]
    made += ["diffusion_pytorch_model.safetensors", "semantica.json"]
    for i, name in enumerate(made):
        error = error_of(i)
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            note_writes(patch, out / name, error)
            learn(pages, out, *parts, SHORT, "cpu")
        # Beside the folders of the encoder and the autoencoder.
        assert {file.name for file in out.iterdir() if file.is_file()} == set(made[:i])
        with pytest.raises(InputError, match="expected menagerie, control or a folder with"):
            Semantica.load(out)
    facts = learn(pages, out, *parts, SHORT, "cpu")
    monkeypatch.setattr("creativelib.semantica.folders.encode", None)
    assert learn(pages, out, *parts, SHORT, "cpu") == facts
    with pytest.raises(InputError, match="other settings: .*steps is 3 and not 4"):
        learn(pages, out, *parts, replace(SHORT, steps=4), "cpu")
    save_picture(torch.zeros(3, 16, 16), pages / "a" / "0.png")
    with pytest.raises(InputError, match="other settings: contents is"):
        learn(pages, out, *parts, SHORT, "cpu")


def test_a_checkpoint_that_cannot_be_read_is_named(pages, parts, tmp_path):
    out = tmp_path / "out"
    learn(pages, out, *parts, SHORT, "cpu")
    (out / "semantica.json").unlink()
    (out / "checkpoint.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="checkpoint .* cannot be read .*; expected"):
        learn(pages, out, *parts, SHORT, "cpu")


@pytest.mark.parametrize(
    ("named", "bad"),
    [
        ("size", {"size": 8}),
        ("steps", {"steps": 0}),
        ("channels", {"channels": (16, 40)}),
        ("filter", {"low": 0.9, "high": 0.1}),
    ],
)
def test_bad_settings_are_refused(named, bad):
    with pytest.raises(InputError, match=f"{named} is"):
        FolderConfig(**bad)

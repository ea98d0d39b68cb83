"""Every command's folder: any write may fail, the same arguments go on, others are refused."""

import errno
import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from creativelib.commands import cli, concepts
from creativelib.commands.creation import create, typical_density
from creativelib.concept import TokenConcept, load
from creativelib.conceptlab.evolution import Family, MixConfig
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.state import LearnState
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.semantica.model import Semantica
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline
from creativelib.unclip.pipeline import Pipeline
from writes import FULL, error_of, note_writes

PLAIN = ("a photo of a {}",)
LEARN = LearnConfig(concepts=2, samples=1, steps=2, templates=PLAIN)
MIX = MixConfig(kind="subject", each=1, samples=1, steps=1, templates=PLAIN)
STEER = SteerConfig(concepts=1, samples=2, steps=2, baseline_samples=60)
COMMANDS = ("create", "concept", "mix", "evolve", "draw", "vary")


@pytest.fixture(autouse=True)
def decoder(monkeypatch):
    """Random pictures, which take no time."""

    def decode(self, z, *, generator):
        return torch.rand(*z.shape[:-1], 3, 16, 16, generator=generator)

    monkeypatch.setattr(Pipeline, "decode", decode)


@pytest.fixture(scope="module")
def density(pipe):
    return fit_baseline(pipe, "a photo of a pet", STEER)


@pytest.fixture
def run(request, pipe, stack, density, tmp_path, monkeypatch):
    """A command of the name in `request.param`, by its folder and seed."""
    founders = TokenConcept.init(pipe, "pet", 2, torch.Generator().manual_seed(0))
    founders.save(tmp_path / "founders")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    picture = str(tmp_path / "red.png")

    def varied(pictures, n, *, generator, guidance, steps):
        return torch.rand(1, n, 3, 16, 16, generator=generator)

    monkeypatch.setattr("creativelib.commands.creation.load", lambda model, device: pipe)
    monkeypatch.setattr("creativelib.commands.creation.fit_baseline", lambda *_: density)
    encoder = SimpleNamespace(preprocess=SimpleNamespace(crop=16))
    model = SimpleNamespace(encoder=encoder, vary=varied)
    monkeypatch.setattr(Semantica, "load", lambda name, device: model)
    return {
        "create": partial(create, "a photo of a pet", count=1, model=stack, config=STEER),
        "concept": partial(concepts.learn, pipe, "pet", negatives=["cat"], config=LEARN, count=1),
        "mix": partial(concepts.mix, pipe, ["pet", picture], config=MIX, count=1),
        "evolve": partial(concepts.evolve, pipe, tmp_path / "founders", config=MIX, count=1),
        "draw": partial(concepts.draw, pipe, tmp_path / "founders", "a red {}", count=1),
        "vary": partial(concepts.vary, [picture], count=1),
    }[request.param]


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder; of reports only what is the same each time."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.name == "report.json":
            report = json.loads(file.read_bytes())
            report.pop("seconds", None)
            report.get("density", {}).pop("cached", None)
            found[str(file.relative_to(folder))] = json.dumps(report).encode()
        elif file.is_file():
            found[str(file.relative_to(folder))] = file.read_bytes()
    return found


@pytest.mark.parametrize("run", COMMANDS, indirect=True)
def test_any_write_may_fail_and_the_same_command_goes_on(run, pipe, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setenv("CREATIVELIB_CACHE", str(whole / "cache"))
        written = note_writes(patch)
        run(out=whole / "out")
    names = list(dict.fromkeys(file.relative_to(whole) for file in written))
    assert names[0].name == "settings.json"
    assert {str(name) for name in names} == contents(whole).keys()
    monkeypatch.setenv("CREATIVELIB_CACHE", str(broken / "cache"))
    for i, name in enumerate(names):
        error = error_of(i)
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            note_writes(patch, broken / name, error)
            run(out=broken / "out")
        assert not list(broken.rglob(".*"))
        for read in (load, Family.load):
            with suppress(InputError):
                read(broken / "out", pipe)
    run(out=broken / "out")
    assert contents(broken) == contents(whole)


@pytest.mark.parametrize("run", COMMANDS, indirect=True)
def test_a_used_folder_takes_the_same_arguments_only(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    run(out=out, seed=3)
    before = contents(out)
    settings = json.loads(before["settings.json"])
    assert settings["seed"] == 3 and settings["count"] == 1
    for other, words in (({"seed": 99}, "seed is 3 and not 99"), ({"count": 2}, "count is 1")):
        with pytest.raises(InputError, match=f"other settings: {words}.*another folder"):
            run(out=out, **{"seed": 3} | other)
    run(out=out, seed=3)
    assert contents(out) == before
    # What was lost is made again.
    (out / "gallery.png").unlink()
    run(out=out, seed=3)
    assert contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "typical-7.png").touch()
    with pytest.raises(InputError, match="holds typical-7.png but no settings.json"):
        run(out=tmp_path / "mine")


@pytest.mark.parametrize("run", ["concept", "mix", "evolve", "draw", "vary"], indirect=True)
def test_a_finished_run_is_not_run_again(run, tmp_path, monkeypatch):
    first = json.loads(json.dumps(run(out=tmp_path / "out")))
    written = note_writes(monkeypatch)
    assert run(out=str(tmp_path / "out")) == first and written == []


def test_a_command_that_refuses_its_arguments_leaves_the_folder_free(pipe, tmp_path):
    with pytest.raises(InputError, match="weights is"):
        concepts.mix(pipe, ["pet", "plant"], tmp_path, [1.0], config=MIX, count=1)
    concepts.mix(pipe, ["pet", "plant"], tmp_path, config=MIX, count=1)


def test_changed_parents_make_another_run(pipe, tmp_path):
    for color in ("red", "blue"):
        Image.new("RGB", (16, 16), color).save(tmp_path / "parent.png")
        mixing = partial(
            concepts.mix, pipe, ["pet", str(tmp_path / "parent.png")], config=MIX, count=1
        )
        if color == "red":
            mixing(tmp_path / "out")
    with pytest.raises(InputError, match="other settings: contents is"):
        mixing(tmp_path / "out")


def test_learning_with_given_negatives_keeps_checkpoints(pipe, tmp_path, monkeypatch):
    config = LearnConfig(concepts=1, samples=1, steps=6, ask_every=2, templates=PLAIN)
    learn = partial(concepts.learn, pipe, "pet", negatives=["cat"], config=config, count=1)
    learn(out=tmp_path / "whole")
    saved = []
    save = LearnState.save

    def save_and_stop(self, file, about):
        save(self, file, about)
        saved.append(self.optimizer_state.index)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LearnState, "save", save_and_stop)
        learn(out=tmp_path / "out")
    assert saved == [2] and (tmp_path / "out" / "run.safetensors").is_file()
    learn(out=tmp_path / "out")
    both = [load(tmp_path / name, pipe).tensors["vectors"] for name in ("out", "whole")]
    assert torch.equal(*both)


@pytest.fixture
def fits(monkeypatch):
    """Count the fits of densities, which are quick ones here."""
    asked = []

    def fit(pipe, prompt, config):
        asked.append(prompt)
        return GaussianDensity.fit(torch.randn(40, 4, generator=torch.Generator().manual_seed(0)))

    monkeypatch.setattr("creativelib.commands.creation.fit_baseline", fit)
    return asked


def test_a_damaged_density_is_fitted_anew(pipe, fits, tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path))
    assert [typical_density(pipe, "a pet", STEER)[1] for _ in range(2)] == [False, True]
    (file,) = (tmp_path / "densities").iterdir()
    good = file.read_bytes()
    for bad in (b"", b"no density", good[: len(good) // 2]):
        file.write_bytes(bad)
        assert not typical_density(pipe, "a pet", STEER)[1] and file.read_bytes() == good
    assert len(fits) == 4 and file.stat().st_mode & 0o777 == 0o666 & ~umask()


def test_a_cache_that_cannot_be_written_is_read(pipe, fits, tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path))
    typical_density(pipe, "a pet", STEER)

    def readonly(**named):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", readonly)
    assert typical_density(pipe, "a pet", STEER)[1]
    with pytest.raises(InputError, match="CREATIVELIB_CACHE is .*Read-only file system"):
        typical_density(pipe, "a plant", STEER)
    assert fits == ["a pet"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "error, code, words",
    [
        (FULL, 2, "No space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_full_disk_and_ctrl_c_end_a_command_in_one_line(monkeypatch, capsys, error, code, words):
    def stop(self):
        raise error

    monkeypatch.setattr(cli.World, "run", stop)
    with pytest.raises(SystemExit) as ended:
        cli.main(["world", "sheet", "pet"])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == code and len(lines) == 1 and words in lines[0]


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, capsys):
    file = tmp_path / "pets.png"
    file.write_text("old")
    note_writes(monkeypatch, file)
    figure = SimpleNamespace(savefig=lambda part: part.write_text("new"))
    monkeypatch.setattr("creativelib.notebook.plots.grid", lambda *_: figure)
    with pytest.raises(SystemExit):
        cli.main(["world", "sheet", "pet", "--out", str(file)])
    assert "cannot be written: No space left" in capsys.readouterr().err
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]

"""`create` and its command, on the random stack."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from PIL import Image

from creativelib.commands import cli
from creativelib.commands.creation import create, find_subject
from creativelib.commands.report import describe, summarize
from creativelib.concept import TokenConcept
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.steering.habituation import HabituationConfig
from creativelib.steering.settings import STEER_DEFAULTS, SteerConfig

CONFIG = SteerConfig(concepts=2, samples=2, steps=4, baseline_samples=60)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make(stack, tmp_path):
    def run(**settings):
        defaults = {
            "prompt": "a photo of a pet",
            "out": tmp_path / "out",
            "count": 3,
            "model": stack,
            "device": "cpu",
            "config": CONFIG,
        }
        return create(**defaults | settings)

    return run


def test_everything_is_written(make, tmp_path):
    creation = make()
    names = {f"{kind}-0{i}.png" for kind in ("typical", "creative") for i in range(3)}
    others = {"gallery.png", "report.json", "concept.json", "concept.safetensors", "settings.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names | others
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report == creation.report
    assert set(report["seconds"]) == {"load", "density", "steer", "draw", "judge"}
    assert {row["file"] for row in report["pictures"]} == names
    assert (
        report["seed"] == 0
        and report["word"] == "pet"
        and report["versions"]["torch"] == torch.__version__
    )
    assert "valid" not in report["creative"]
    assert Image.open(tmp_path / "out" / "gallery.png").size == (3 * 136 + 8, 2 * (136 + 40) + 8)
    assert Image.open(tmp_path / "out" / "creative-02.png").size == (16, 16)
    assert torch.equal(TokenConcept.load(tmp_path / "out").vectors, creation.result.concept.vectors)


def test_report_describes_the_pictures(make, tmp_path):
    creation = make()
    row = creation.report["pictures"][4]
    assert row["file"] == "creative-01.png"
    assert row["surprisal"] == pytest.approx(
        creation.result.density.surprisal(creation.creative.z[1]).item(), abs=1e-3
    )
    median = creation.result.density.surprisal(creation.creative.z).median().item()
    assert creation.report["creative"]["surprisal"] == pytest.approx(median, abs=1e-3)


def test_the_density_is_cached_by_prompt_and_settings(make, cache, tmp_path):
    changes = [
        {},
        {"seed": 1},
        {"prompt": "a photo of a plant"},
        {"config": replace(CONFIG, baseline_samples=61)},
    ]
    runs = [make(out=tmp_path / str(i), **change) for i, change in enumerate(changes)]
    assert [run.report["density"]["cached"] for run in runs] == [False, True, False, False]
    assert len(list((cache / "densities").iterdir())) == 3


def test_the_same_seed_gives_the_same_pictures(make, tmp_path):
    one = make()
    same = make()
    other = make(seed=1, out=tmp_path / "other")
    assert torch.equal(one.creative.pictures, same.creative.pictures)
    assert not torch.equal(one.creative.pictures, other.creative.pictures)


def test_subject_of_another_worlds_prompt(pipe):
    assert find_subject(pipe, "a red gryphon").word == "gryphon"
    assert find_subject(pipe, "a photo of a pet.").template == "a photo of a {}."


def test_subject_of_the_worlds_prompt(pipe):
    pipe = replace(pipe, has_truth=True)
    subject = find_subject(pipe, "a photo of a pet with long ears")
    assert (subject.word, subject.template, subject.category) == (
        "pet",
        "a photo of a {} with long ears",
        "pet",
    )
    assert find_subject(pipe, "a musical instrument").word == "musical instrument"
    assert find_subject(pipe, "a Cat").category == "pet"
    with pytest.raises(InputError, match="never saw: 'gryphon'"):
        find_subject(pipe, "a gryphon pet")
    with pytest.raises(InputError, match="names nothing"):
        find_subject(pipe, "a red photo")


def test_oracle_fields_where_there_is_a_truth(pipe, monkeypatch):
    @dataclass(frozen=True)
    class Judgement:
        valid: torch.Tensor
        novel_in_form: torch.Tensor
        novel_in_surface: torch.Tensor
        log_prob: torch.Tensor

    class Oracle:
        @staticmethod
        def load():
            return Oracle()

        def judge(self, pictures, category):
            yes = torch.tensor([True, True, False])
            return Judgement(yes, ~yes, ~yes, torch.tensor([-3.0, -torch.inf, -5.0]))

    monkeypatch.setattr("creativelib.world.oracle.Oracle", Oracle)
    z = torch.randn(30, 16, generator=torch.Generator().manual_seed(0))
    rows = describe(
        "creative",
        z[:3],
        torch.rand(3, 3, 16, 16),
        GaussianDensity.fit(z),
        replace(pipe, has_truth=True),
        "pet",
    )
    assert [row["valid"] for row in rows] == [True, True, False]
    assert [row["log_prob"] for row in rows] == [-3.0, None, -5.0]
    summary = summarize(rows)
    assert (
        summary["valid"] == pytest.approx(2 / 3)
        and summary["novel_in_form"] == pytest.approx(1 / 3)
        and summary["log_prob"] == -4.0
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["  ", "--out", "OUT"], "prompt is '  '"),
        (["a pet", "--out", "OUT", "--count", "-1"], "count is -1"),
        (["a pet", "--out", "OUT", "--seed", "-1"], "seed is -1"),
        (["a pet", "--out", "OUT", "--model", "nothing"], "model 'nothing' is neither"),
        (["a pet", "--out", "OUT", "--model", "kandinski"], "neither a known name nor a folder"),
        (["a pet", "--out", "OUT", "--model", "nobody/nothing"], "is not whole in the cache"),
        (["a pet", "--out", "OUT", "--model", "STACK", "--device", "banana"], "device is 'banana'"),
        (["a pet", "--out", "FILE/below"], "out is .* cannot be written"),
        (["a " * 30 + "pet", "--out", "OUT", "--model", "STACK"], "31 tokens; expected at most 14"),
    ],
)
def test_bad_input_ends_the_command_with_2_and_one_line(stack, tmp_path, capsys, arguments, words):
    (tmp_path / "file").touch()
    places = {
        "OUT": str(tmp_path / "out"),
        "STACK": str(stack),
        "FILE/below": str(tmp_path / "file" / "below"),
    }
    with pytest.raises(SystemExit) as ended:
        cli.main(["create", *[str(places.get(argument, argument)) for argument in arguments]])
    assert ended.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "%" not in line and line]
    assert len(errors) == 1 and errors[0].startswith("error: ")
    assert re.search(words, errors[0])


def test_the_command_runs(stack, tmp_path, monkeypatch, capsys):
    assert STEER_DEFAULTS.dial == cli.Create.dial
    monkeypatch.setattr("creativelib.steering.settings.STEER_DEFAULTS", CONFIG)
    cli.main(
        [
            "create",
            "a photo of a pet",
            "--out",
            str(tmp_path / "out"),
            "--count",
            "2",
            "--model",
            str(stack),
            "--device",
            "cpu",
            "--dial",
            "-0.1",
        ]
    )
    told = capsys.readouterr().out
    assert "typical pictures above" in told
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["dial"] == -0.1
    first, last = report["steering"]["dial"]
    assert f"steered: pet, on the dial to {first:.2f}, {last:.2f}" in told


def test_no_traceback_from_the_shell(tmp_path):
    code = "from creativelib.commands.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "create", "", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        ended.returncode == 2
        and ended.stderr.startswith("error: prompt is ''")
        and "Traceback" not in ended.stderr
    )


def test_batches_turn_away_from_what_was_shown(make, tmp_path):
    """Without batches a run is what it was, and so are its folder's settings."""
    plain = make()
    twice = make(out=tmp_path / "twice", habituation=HabituationConfig(batches=2), count=4)
    first = plain.result.concept.vectors
    assert torch.equal(twice.result.concept.vectors[: len(first)], first)
    assert len(twice.result.concept) == 2 * len(first) == len(twice.report["steering"]["passed"])
    assert twice.report["settings"]["habituation"] == {"batches": 2, "weight": 40.0}
    assert plain.report["settings"] == asdict(CONFIG)

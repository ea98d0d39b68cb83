"""The commands concept, mix, evolve and draw, on the random stack."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from creativelib.commands import cli, concepts
from creativelib.commands.creation import create
from creativelib.concept import TokenConcept, load
from creativelib.conceptlab import settings
from creativelib.conceptlab.evolution import Family, MixConfig
from creativelib.conceptlab.settings import LearnConfig
from creativelib.errors import InputError
from creativelib.steering.recipe import steer
from creativelib.steering.settings import SteerConfig

CONFIG = LearnConfig(concepts=3, samples=1, steps=3, templates=("a photo of a {}",))
SHORT = MixConfig(each=2, samples=1, steps=2, templates=("a photo of a {}",))


@pytest.fixture
def learned(pipe, tmp_path):
    concepts.learn(pipe, "pet", tmp_path / "pets", ["cat"], CONFIG, count=2)
    return tmp_path / "pets"


def test_learning_writes_everything(pipe, learned):
    report = json.loads((learned / "report.json").read_text())
    files = {row["file"] for row in report["pictures"]}
    assert files == {f"concept-{i}-{j}.png" for i in range(3) for j in range(2)}
    assert {file.name for file in learned.iterdir()} == files | {
        "gallery.png",
        "report.json",
        "settings.json",
        "concept.json",
        "concept.safetensors",
        "run.safetensors",
    }
    assert (
        report["negatives"] == [["cat"]] * 3
        and report["history"] == []
        and report["steps"] == 3
        and report["word"] == "pet"
    )
    assert len(load(learned, pipe)) == 3 and "truth" not in report


def test_a_concept_can_be_settled(pipe, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        concepts,
        "settle",
        lambda pipe, word, concept, negatives, seed, progress: (
            asked.append((word, negatives, seed)) or concept
        ),
    )
    report = concepts.learn(pipe, "pet", tmp_path, ["cat"], CONFIG, seed=3, count=1, settled=True)
    assert asked == [("pet", (("cat",),) * 3, 3)] and report["settled"]
    with pytest.raises(InputError, match="settled is True with a style"):
        concepts.learn(pipe, "pet", tmp_path, ["cat"], CONFIG, style=True, settled=True)


def test_learning_resumes(pipe, learned):
    before = load(learned, pipe).tensors["vectors"]
    (learned / "report.json").unlink()
    report = concepts.learn(pipe, "pet", learned, ["cat"], CONFIG, count=2)
    assert torch.equal(load(learned, pipe).tensors["vectors"], before) and report["count"] == 2
    with pytest.raises(InputError, match="other settings: negatives is .'cat'. and not .'plant'."):
        concepts.learn(pipe, "pet", learned, ["plant"], CONFIG, count=2)


def test_a_mixture_has_parents_of_all_kinds(pipe, learned, tmp_path):
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    parents = [str(learned), str(tmp_path / "red.png"), "plant"]
    report = concepts.mix(pipe, parents, tmp_path / "mixed", [2, 1, 1], config=SHORT, count=2)
    assert (
        report["word"] == "pet"
        and report["weights"] == [2, 1, 1]
        and len(load(tmp_path / "mixed", pipe)) == 1
    )
    with pytest.raises(InputError, match="parents is .*; expected at least two"):
        concepts.mix(pipe, parents[:1], tmp_path / "mixed")
    with pytest.raises(InputError, match="word is None"):
        concepts.mix(pipe, parents[1:2] * 2, tmp_path / "mixed")
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(InputError, match="no.png', which cannot be read as a picture"):
        concepts.mix(pipe, ["pet", str(tmp_path / "no.png")], tmp_path / "mixed")


def test_a_family_is_kept_after_every_generation(pipe, learned, tmp_path):
    report = concepts.evolve(pipe, learned, tmp_path / "family", SHORT, count=1)
    assert [(list(row["parents"]), row["generation"]) for row in report["family"]] == [
        ([], 0),
        ([], 0),
        ([], 0),
        ([0, 1], 1),
    ]
    family = Family.load(tmp_path / "family", pipe)
    again = concepts.evolve(pipe, learned, tmp_path / "family", SHORT, count=1)
    assert again["family"] == report["family"]
    assert (tmp_path / "family" / "family.png").is_file()
    for name, value in family.members[-1].concept.tensors.items():
        assert torch.equal(
            Family.load(tmp_path / "family", pipe).members[-1].concept.tensors[name], value
        )
    TokenConcept.init(pipe, "pet", 3, torch.Generator().manual_seed(9)).save(tmp_path)
    with pytest.raises(InputError, match="other settings: .*contents is"):
        concepts.evolve(pipe, tmp_path, tmp_path / "family", SHORT, count=1)
    TokenConcept.init(pipe, "pet").save(tmp_path)
    with pytest.raises(InputError, match="holds 1 concept"):
        concepts.evolve(pipe, tmp_path, tmp_path / "family")


def test_a_concept_is_drawn_in_a_prompt(pipe, learned, tmp_path):
    report = concepts.draw(pipe, learned, "a red {}", tmp_path / "drawn", count=1)
    assert report["prompt"] == "a red {}" and len(report["pictures"]) == 3
    alone = concepts.draw(pipe, str(learned), "{}", str(tmp_path / "alone"), count=1)
    assert alone["prompt"] == "{}" and (tmp_path / "alone" / "gallery.png").is_file()
    for prompt in ("a red pet", "{} {}"):
        with pytest.raises(InputError, match="template is"):
            concepts.draw(pipe, learned, prompt, tmp_path / "drawn")
    with pytest.raises(InputError, match="holds no concept"):
        concepts.draw(pipe, tmp_path, "a red {}", tmp_path / "drawn")


def test_bad_input_comes_before_any_work(pipe, menagerie, tmp_path):
    for bad, words in (
        ({"word": " "}, "word is ' '"),
        ({"count": 0}, "count is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"negatives": ["cat " * 20]}, "at most"),
    ):
        with pytest.raises(InputError, match=words):
            concepts.learn(pipe, **{"word": "pet", "out": tmp_path / "out"} | bad)
    with pytest.raises(InputError, match="never saw: 'zebroid'"):
        concepts.learn(menagerie, "pet", tmp_path / "out", ["zebroid"])
    assert not (tmp_path / "out").exists()


def test_an_old_torchao_is_named_before_any_work(pipe, learned, install_torchao, tmp_path):
    install_torchao("0.1.0")
    out = tmp_path / "out"
    for start in (
        lambda: concepts.learn(pipe, "pet", out, ["cat"], CONFIG, settled=True),
        lambda: concepts.mix(pipe, ["cat", "dog"], out),
        lambda: concepts.evolve(pipe, learned, out),
        lambda: create("a pet", out, config=SteerConfig(kind="lora")),
        lambda: steer(pipe, "pet", config=SteerConfig(kind="lora")),
    ):
        with pytest.raises(InputError, match="pip uninstall torchao"):
            start()
    assert not out.exists()


def test_the_report_has_the_truth_where_it_is_known(menagerie, tmp_path):
    report = concepts.learn(menagerie, "pet", tmp_path, ["cat"], replace(CONFIG, steps=1), count=1)
    assert (
        set(report["truth"]) >= {"valid", "novel_in_form", "log_prob"}
        and "valid" in report["pictures"][0]
    )


def test_the_commands_on_the_command_line(stack, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        settings, "LEARN_DEFAULTS", CONFIG
    )  # the random stack takes no longer templates
    pets = str(tmp_path / "pets")
    cli.main(
        [
            "concept",
            "pet",
            "--out",
            pets,
            "--negatives",
            "cat",
            "--concepts",
            "2",
            "--steps",
            "2",
            "--count",
            "1",
            "--model",
            str(stack),
        ]
    )
    assert "concept 1 is none of: cat" in capsys.readouterr().out
    cli.main(
        [
            "draw",
            pets,
            "a red {}",
            "--out",
            str(tmp_path / "red"),
            "--count",
            "1",
            "--model",
            str(stack),
        ]
    )
    assert "red/gallery.png: 1 pictures of each concept" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["draw", pets, "a red pet", "--out", str(tmp_path / "red"), "--model", str(stack)])
    assert stop.value.code == 2 and "template is 'a red pet'" in capsys.readouterr().err

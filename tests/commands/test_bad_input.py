"""Bad input ends every command with exit code 2 and one line, before a model is loaded."""

import subprocess
import sys
from dataclasses import replace

import pytest

from creativelib.commands import cli, concepts
from creativelib.commands.creation import create, find_subject
from creativelib.errors import InputError
from creativelib.training.__main__ import main as training


@pytest.fixture(autouse=True)
def no_models(monkeypatch):
    def load(*_names: object, **_settings: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("creativelib.unclip.pipeline.load", load)
    monkeypatch.setattr("creativelib.commands.creation.load", load)
    monkeypatch.setattr("creativelib.semantica.model.Semantica.load", load)
    monkeypatch.setattr("creativelib.semantica.folders.learn", load)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that has to fail, and return its one line on stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and told.err.startswith("error: ")
    return told.err.removeprefix("error: ").strip()


NUMBERS = [
    (["--seed", "-1"], "seed is -1; expected 0 or more"),
    (["--seed", str(2**63)], "seed is 9223372036854775808; expected at most"),
    (["--seed", str(2**64)], "seed is 18446744073709551616; expected at most"),
    (["--count", "0"], "count is 0; expected 1 or more"),
    (["--count", str(10**9)], "count is 1000000000; expected at most 100000"),
    (["--count", "4.5"], "--count"),
    (["--count", "many"], "--count"),
    (["--seed", "nan"], "--seed"),
    (["--cuont", "4"], "--cuont"),
]
COMMANDS = {
    "create": ["create", "a photo of a pet"],
    "concept": ["concept", "pet"],
    "mix": ["mix", "pet", "plant"],
    "evolve": ["evolve", "folder"],
    "draw": ["draw", "folder", "a {}"],
    "vary": ["vary", "picture.png"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers(command, capsys, tmp_path):
    for options, words in NUMBERS:
        said = refusal(capsys, *COMMANDS[command], "--out", str(tmp_path / "out"), *options)
        assert words in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "create"),
        (["creat", "a pet"], "creat"),
        (["create"], "Missing"),
        (["create", "\n", "--out", "OUT"], "prompt is '\\n'; expected a text"),
        (["create", "a pet\0", "--out", "OUT"], "expected a text without '\\x00'"),
        (["create", "a pet\udcff", "--out", "OUT"], "expected a text without"),
        (["create", "x" * 20_000, "--out", "OUT"], "prompt has 20000 characters"),
        (["create", "a {} pet", "--out", "OUT"], "prompt is 'a {} pet'; expected .* without {}"),
        (["create", "4k, 8k", "--out", "OUT"], "at least one word"),
        (["create", "a pet", "--out", "OUT", "--word", "pte"], "did you mean 'pet'"),
        (["create", "a pet", "--out", "OUT", "--word", ""], "word is ''"),
        (["concept", " ", "--out", "OUT"], "word is ' '"),
        (["concept", "{}", "--out", "OUT"], "word is '{}'"),
        (["concept", "pet", "--out", "OUT", "--negatives", "cat", "Cat"], "negatives is"),
        (["concept", "pet", "--out", "OUT", "--negatives", ""], "negatives is ''"),
        (["concept", "pet", "--out", "OUT", "--concepts", "0"], "concepts is 0"),
        (["concept", "pet", "--out", "OUT", "--concepts", str(10**9)], "at most 1000"),
        (["concept", "pet", "--out", "OUT", "--steps", str(10**9)], "steps is 1000000000"),
        (["concept", "pet", "--out", "OUT", "--style", "--settle"], "settled is True"),
        (["mix", "pet", "--out", "OUT"], "parents is"),
        (["mix", "pet", "", "--out", "OUT"], "parents is ''"),
        (["mix", "pet", "plant", "--out", "OUT", "--weights", "1"], "weights is"),
        (["mix", "pet", "plant", "--out", "OUT", "--weights", "nan", "1"], "weights is nan"),
        (["mix", "pet", "plant", "--out", "OUT", "--weights", "inf", "1"], "weights is inf"),
        (["mix", "pet", "plant", "--out", "OUT", "--weights", "0", "0"], "weights is"),
        (["mix", "pet", "plant", "--out", "OUT", "--weights=-1", "2"], "weights is -1.0"),
        (["mix", "pet", "plant", "--out", "OUT", "--word", " "], "word is ' '"),
        (["draw", "folder", "a pet", "--out", "OUT"], "template is 'a pet'"),
        (["draw", "folder", "{} {}", "--out", "OUT"], "template is '{} {}'"),
        (["vary", "a.png", "--out", "OUT", "--guidance", "0.5"], "guidance is 0.5"),
        (["vary", "a.png", "--out", "OUT", "--guidance", "nan"], "guidance is nan"),
        (["vary", "a.png", "--out", "OUT", "--steps", "0"], "steps is 0"),
        (["semantica", "pages", "--out", "OUT", "--size", "0"], "size is 0"),
        (["semantica", "pages", "--out", "OUT", "--channels", "0", "0"], "channels is 0"),
        (["semantica", "pages", "--out", "OUT", "--low", "nan"], "low is nan"),
        (["semantica", "pages", "--out", "OUT", "--seed", str(2**64)], "seed is"),
        (["world", "sheet", "pett", "--out", "OUT.png"], "did you mean 'pet'"),
        (["world", "sheet", "", "--out", "OUT.png"], "category '' is not"),
        (["world", "sheet", "pet", "--out", "OUT.png", "--seed", str(2**64)], "seed is"),
        (["world", "sheet", "pet", "--show", "wlid"], "--show"),
    ],
)
def test_texts_names_and_lists(arguments, words, capsys, tmp_path):
    places = {name: str(tmp_path / name.lower()) for name in ("OUT", "OUT.png")}
    said = refusal(capsys, *[places.get(each, each) for each in arguments])
    assert all(part in said for part in words.split(" .* "))
    assert len(said) < 600 and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threads", "0"], "threads is 0; expected 1 or more"),
        (["--minutes", "nan"], "minutes is nan"),
        (["--minutes", "0"], "minutes is 0.0; expected a number above 0"),
        (["--device", "banana"], "device is 'banana'"),
    ],
)
def test_options_of_trainings(options, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["training", "dino", *options])
    with pytest.raises(SystemExit) as ended:
        training()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1
    assert words in said


def test_help_is_no_error(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["create", "--help"])
    told = capsys.readouterr()
    assert ended.value.code in (0, None) and "--word" in told.out and told.err == ""


def test_one_line_from_the_shell(tmp_path):
    code = "from creativelib.commands.cli import main; main()"
    options = ["create", "a pet", "--out", str(tmp_path / "out"), "--seed", "1e3"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: ") and "'1e3'" in ended.stderr


def test_quality_tags_braces_and_accents_do_not_hide_the_subject(pipe):
    for prompt, template in (
        ("a photo of a pet, 4k", "a photo of a {}, 4k"),
        ("a pet, raw, hd", "a {}, raw, hd"),
        ("a {red} pet", "a {red} {}"),
        ("100 % pet", "100 % {}"),
    ):
        subject = find_subject(pipe, prompt)
        assert (subject.word, subject.template) == ("pet", template)
    assert find_subject(pipe, "un cafe\u0301").word == "caf\u00e9"


def test_the_word_to_steer_can_be_told(pipe, menagerie):
    told = find_subject(pipe, "a pet on a pet plant", "Pet")
    assert (told.word, told.template) == ("pet", "a pet on a {} plant")
    with pytest.raises(InputError, match="word is 'plnt', which is no word .* mean 'plant'"):
        find_subject(pipe, "a pet plant", "plnt")
    ears = find_subject(menagerie, "a photo of a pet with long ears", "ears")
    assert (ears.word, ears.category) == ("ears", "pet")
    free = find_subject(replace(pipe, has_truth=True), "a red photo", "photo")
    assert (free.word, free.category) == ("photo", None)


def test_a_word_that_is_several_tokens_is_refused_before_any_work(stack, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="'gryphon'.*exactly one token"):
        create("a red gryphon", tmp_path / "out", count=1, model=stack, device="cpu")
    assert not (tmp_path / "cache").exists()


def test_functions_take_no_plain_text_for_a_list(pipe, tmp_path):
    with pytest.raises(InputError, match="negatives is 'cat'; expected a list"):
        concepts.learn(pipe, "pet", tmp_path / "out", negatives="cat")
    with pytest.raises(InputError, match="parents is 'cat'; expected a list"):
        concepts.mix(pipe, "cat", tmp_path / "out")
    with pytest.raises(InputError, match="pictures is 'cat.png'; expected a list"):
        concepts.vary("cat.png", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_negatives_come_with_the_nearest_known_ones(menagerie, tmp_path):
    with pytest.raises(InputError, match="never saw: 'parrrot'; did you mean 'parrot'"):
        concepts.learn(menagerie, "pet", tmp_path / "out", ["parrrot"])
    assert not (tmp_path / "out").exists()

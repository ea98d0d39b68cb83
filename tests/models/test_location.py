"""Names, folders and sums of models."""

import hashlib
import json
import shutil

import pytest

from creativelib.errors import InputError
from creativelib.models.location import bundled, locate
from creativelib.models.names import BUNDLED_STACKS, MODELS
from creativelib.reading import verify


def test_every_model_says_what_it_needs():
    for name, model in MODELS.items():
        assert model.name == name and model.license
        assert (
            (model.folder is None)
            == (model.memory > 0)
            == (model.download > 0)
            == bool(model.hub[0])
        )
    terms = MODELS["karlo"].terms
    assert "16 GB to download, from kakaobrain/karlo-v1-alpha. Licence: CreativeML" in terms
    assert "a GPU with about 11 GB" in terms


def test_unknown_name_lists_the_names():
    with pytest.raises(
        InputError, match=r"'kandinski' is neither.*menagerie, kandinsky-2-1, kandinsky-2-2"
    ):
        locate("kandinski")


def test_folder(stack):
    found = locate(stack)
    assert (
        (found.prior, found.decoder) == (stack / "prior", stack / "decoder")
        and not found.has_truth
        and not found.revisions
    )
    assert found.fingerprint == locate(str(stack)).fingerprint


def test_fingerprint_follows_the_files(stack, tmp_path):
    shutil.copytree(stack, tmp_path / "copy")
    before = locate(tmp_path / "copy").fingerprint
    (tmp_path / "copy" / "prior" / "note.txt").write_text("new")
    assert locate(tmp_path / "copy").fingerprint != before


def test_folder_without_the_parts(tmp_path):
    with pytest.raises(InputError, match=r"no prior/model_index\.json"):
        locate(tmp_path)


def test_parts_of_bundled_stacks():
    for stack in BUNDLED_STACKS:
        assert bundled(stack=stack) == MODELS[stack].folder
        assert (bundled("decoder/movq", stack) / "config.json").is_file()
    assert (bundled("judge") / "open_clip_config.json").is_file()


@pytest.mark.parametrize("stack", ["kandinsky-2-1", "elsewhere"])
def test_stacks_that_are_not_bundled(stack):
    with pytest.raises(InputError, match=f"stack is '{stack}'; expected menagerie, menagerie-128"):
        bundled("judge", stack)


@pytest.fixture
def summed(tmp_path):
    (tmp_path / "weights").write_text("right")
    (tmp_path / "sha256.json").write_text(
        json.dumps({"weights": hashlib.sha256(b"right").hexdigest()})
    )
    return tmp_path


def test_sums_that_agree(summed):
    assert verify(summed) == hashlib.sha256((summed / "sha256.json").read_bytes()).hexdigest()


def list_as(folder, path):
    sums = json.loads((folder / "sha256.json").read_text())
    (folder / "sha256.json").write_text(json.dumps({path: sums["weights"]}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "weights").write_text("wrong"), "damaged"),
        (lambda folder: (folder / "weights").unlink(), "missing"),
        (lambda folder: (folder / "sha256.json").unlink(), "missing"),
        (lambda folder: (folder / "sha256.json").write_text("{}"), "has no sums"),
        (lambda folder: (folder / "sha256.json").write_text("[]"), "sha256.json is damaged"),
        (lambda folder: (folder / "sha256.json").write_text("{"), "sha256.json is damaged"),
        (lambda folder: (folder / "sha256.json").write_text("[" * 10**5), "json is damaged"),
        (lambda folder: (folder / "sha256.json").write_text('{"weights": 1}'), "json is damaged"),
        (lambda folder: list_as(folder, "../weights"), "sha256.json is damaged"),
        (lambda folder: list_as(folder, "/etc/passwd"), "sha256.json is damaged"),
        (lambda folder: (folder / "more.safetensors").touch(), "more.safetensors is not listed"),
        (lambda folder: (folder / "config.json").write_text("{}"), "config.json is not listed"),
    ],
)
def test_sums_that_do_not(summed, spoil, words):
    spoil(summed)
    with pytest.raises(InputError, match=words):
        verify(summed)


def test_a_part_of_a_folder_is_compared_alone(summed):
    (summed / "oracle").mkdir()
    (summed / "oracle" / "a.json").write_text("{}")
    with pytest.raises(InputError, match="oracle has no sums"):
        verify(summed, "oracle")
    sums = json.loads((summed / "sha256.json").read_text())
    sums["oracle/a.json"] = hashlib.sha256(b"{}").hexdigest()
    (summed / "sha256.json").write_text(json.dumps(sums))
    (summed / "weights").write_text("wrong")
    assert verify(summed, "oracle")
    (summed / "oracle" / "a.json").write_text("[]")
    with pytest.raises(InputError, match="a.json is damaged"):
        verify(summed, "oracle")

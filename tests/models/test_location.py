"""Names, folders and sums of models."""

import hashlib
import json
import shutil

import pytest

from creativelib.errors import InputError
from creativelib.models.location import bundled, locate, verify
from creativelib.models.names import BUNDLED_STACKS, MODELS


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


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "weights").write_text("wrong"), "damaged"),
        (lambda folder: (folder / "weights").unlink(), "missing"),
        (lambda folder: (folder / "sha256.json").unlink(), "missing"),
    ],
)
def test_sums_that_do_not(summed, spoil, words):
    spoil(summed)
    with pytest.raises(InputError, match=words):
        verify(summed)

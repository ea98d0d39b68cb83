"""Names, folders and sums."""

import hashlib
import json

import pytest

from creativelib import zoo
from creativelib.errors import InputError


def test_every_model_says_what_it_needs():
    for name, model in zoo.MODELS.items():
        assert model.name == name and model.licence and model.download and model.memory
        assert (model.folder is not None) != bool(model.missing)


def test_unknown_name_lists_the_names():
    with pytest.raises(InputError, match=r"'kandinski' is neither.*menagerie, kandinsky-2-1, kandinsky-2-2"):
        zoo.locate("kandinski")


@pytest.mark.parametrize("name", ["kandinsky-2-1", "kandinsky-2-2"])
def test_reserved_name_says_what_is_missing(name):
    with pytest.raises(InputError, match=f"'{name}' is not yet supported: it arrives with chapter 13.*available now: menagerie"):
        zoo.locate(name)


def test_folder(stack):
    found = zoo.locate(stack)
    assert found.folder == stack and not found.has_truth
    assert found.fingerprint == zoo.locate(str(stack)).fingerprint


def test_fingerprint_follows_the_files(tmp_path):
    for part in zoo.PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "model_index.json").write_text("{}")
    before = zoo.locate(tmp_path).fingerprint
    (tmp_path / "prior" / "model_index.json").write_text("{ }")
    assert zoo.locate(tmp_path).fingerprint != before


def test_folder_without_the_parts(tmp_path):
    with pytest.raises(InputError, match=r"no prior/model_index\.json"):
        zoo.locate(tmp_path)


@pytest.fixture
def bundled(tmp_path):
    (tmp_path / "weights").write_text("right")
    (tmp_path / "sha256.json").write_text(json.dumps({"weights": hashlib.sha256(b"right").hexdigest()}))
    return tmp_path


def test_sums_that_agree(bundled):
    assert zoo.verify(bundled) == hashlib.sha256((bundled / "sha256.json").read_bytes()).hexdigest()


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda folder: (folder / "weights").write_text("wrong"), "damaged"),
    (lambda folder: (folder / "weights").unlink(), "missing"),
    (lambda folder: (folder / "sha256.json").unlink(), "missing"),
])
def test_sums_that_do_not(bundled, spoil, words):
    spoil(bundled)
    with pytest.raises(InputError, match=words):
        zoo.verify(bundled)

"""A ConceptLab result: saved, read back, and shown in a few lines; the paper's own settings."""

from dataclasses import replace

import pytest
import torch

from creativelib.conceptlab.learning import learn_concept
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.state import LearnResult
from creativelib.errors import InputError
from writes import error_of, note_writes

TEMPLATES = ("a photo of a {}", "a {}")


@pytest.fixture(scope="module")
def result(pipe) -> LearnResult:
    config = LearnConfig(concepts=2, samples=1, steps=4, ask_every=1, templates=TEMPLATES)
    return learn_concept(pipe, "pet", ["cat"], config, scheduled_negatives=["plant"])


def test_what_is_saved_is_read_back(result, pipe, tmp_path):
    result.save(str(tmp_path / "deep" / "result"))
    again = LearnResult.load(tmp_path / "deep" / "result", pipe)
    assert torch.equal(again.concept.tensors["vectors"], result.concept.tensors["vectors"])
    for name in ("negatives", "history", "steps", "ask_seconds"):
        assert getattr(again, name) == getattr(result, name)
    assert result.history and "plant" in {answer.word for answer in again.history}


@pytest.mark.parametrize("i", range(3))
def test_an_interrupted_save_leaves_no_half_result(result, pipe, tmp_path, monkeypatch, i):
    result.save(tmp_path)
    with monkeypatch.context() as patch:
        written = note_writes(patch)
        result.save(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(type(error_of(i))):
        note_writes(patch, written[i], error_of(i))
        result.save(tmp_path)
    assert len(written) == 3 and not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="no learning.json; expected"):
        LearnResult.load(tmp_path, pipe)


def test_a_folder_without_a_result_is_refused(pipe, tmp_path):
    with pytest.raises(InputError, match="no learning.json"):
        LearnResult.load(tmp_path, pipe)


def test_it_is_shown_in_five_lines(result):
    shown = repr(result).splitlines()
    assert len(shown) <= 5 and "cat" in shown[1]


def test_the_papers_settings_learn(pipe):
    paper = LearnConfig.paper()
    said = (paper.kind, paper.samples, paper.steps, paper.ask_every, paper.sampling.guidance)
    assert said == ("subject", 1, 2500, 250, 4.0)
    short = replace(paper, steps=2, templates=TEMPLATES)
    learned = learn_concept(pipe, "pet", ["cat"], short).concept
    assert len(learned) == 1 and learned.kind == "subject"

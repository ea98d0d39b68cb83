"""A steering result: saved, read back, and shown in a few lines."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.steering.recipe import steer
from creativelib.steering.result import SteerResult
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline
from writes import error_of, note_writes

CONFIG = SteerConfig(concepts=2, samples=2, steps=2, baseline_samples=40)


@pytest.fixture(scope="module")
def result(pipe) -> SteerResult:
    density = fit_baseline(pipe, "a photo of a pet", CONFIG)
    return steer(pipe, "pet", density, CONFIG)


@pytest.mark.parametrize("as_text", [True, False])
def test_what_is_saved_is_read_back(result, pipe, tmp_path, as_text):
    folder = tmp_path / "deep" / "result"
    result.save(str(folder) if as_text else folder)
    again = SteerResult.load(str(folder) if as_text else folder, pipe)
    for name in ("surprisal", "passed", "stopped"):
        assert torch.equal(getattr(again, name), getattr(result, name))
    assert torch.equal(again.concept.tensors["vectors"], result.concept.tensors["vectors"])
    z = torch.randn(3, 16)
    assert torch.equal(again.density.log_prob(z), result.density.log_prob(z))
    assert (again.target, again.steps) == (result.target, result.steps)


@pytest.mark.parametrize("i", range(5))
def test_an_interrupted_save_leaves_no_half_result(result, pipe, tmp_path, monkeypatch, i):
    result.save(tmp_path)
    with monkeypatch.context() as patch:
        written = note_writes(patch)
        result.save(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(type(error_of(i))):
        note_writes(patch, written[i], error_of(i))
        result.save(tmp_path)
    assert len(written) == 5 and not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="no steering.json; expected"):
        SteerResult.load(tmp_path, pipe)
    result.save(tmp_path)
    assert SteerResult.load(tmp_path, pipe).steps == result.steps


def test_a_folder_without_a_result_is_refused(pipe, tmp_path):
    with pytest.raises(InputError, match="no steering.json"):
        SteerResult.load(tmp_path, pipe)


def test_it_is_shown_in_five_lines(result):
    shown = repr(result).splitlines()
    assert len(shown) <= 5 and "'pet'" in shown[0] and "nats" in shown[1]
    assert len(repr(result.concept).splitlines()) <= 5

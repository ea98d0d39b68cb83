"""What was read from a file can be written to it again while it is in use.

On Windows a file cannot be replaced as long as its tensors are parts of it in memory. Simulated:
Linux lists the files that are in memory like this.
"""

from pathlib import Path

import pytest
import torch

from creativelib.concept import TokenConcept, load
from creativelib.density import FlowDensity, GaussianDensity, MixtureDensity
from creativelib.density import load as load_density
from creativelib.evaluation.baselines import Samples
from creativelib.fitting.loop import Recipe, train
from creativelib.optimization.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from creativelib.optimization.loop import OptimizerState

MAPS = Path("/proc/self/maps")
pytestmark = pytest.mark.skipif(not MAPS.exists(), reason="needs Linux's list of mapped files")
Z = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
WORD = TokenConcept("pet", torch.ones(1, 4), 1.0)


def is_held(folder):
    return str(folder) in MAPS.read_text(encoding="utf-8")


def saved_densities(folder):
    found = []
    for kind, density in {
        "gaussian": GaussianDensity.fit(Z),
        "mixture": MixtureDensity.fit(Z, k=1),
        "flow": FlowDensity.fit(Z, steps=1),
    }.items():
        density.save(folder / kind)
        found.append(load_density(folder / kind))
    return found


def saved_checkpoint(folder):
    state = Checkpoint({"start": WORD}, OptimizerState(), {"row": torch.ones(1)}, {})
    write_checkpoint(folder / "run", state, {})
    return read_checkpoint(folder / "run", ["start"], WORD, {})


def saved_samples(folder):
    Samples(Z, torch.rand(60, 3, 4, 4)).save(folder)
    return Samples.load(folder)


@pytest.mark.parametrize(
    "save_and_read",
    [saved_densities, saved_checkpoint, saved_samples],
)
def test_files_are_not_held_open(save_and_read, tmp_path):
    kept = save_and_read(tmp_path)
    assert kept and not is_held(tmp_path)


def test_concepts_do_not_hold_their_files_open(pipe, tmp_path):
    TokenConcept.init(pipe, "pet").save(tmp_path)
    kept = load(tmp_path, pipe)
    assert kept.kind == "subject" and not is_held(tmp_path)


def test_a_resumed_training_does_not_hold_its_checkpoint_open(tmp_path):
    held = []
    for steps in (1, 2):
        model = torch.nn.Linear(4, 1)

        def loss(step, generator, model=model):
            held.append(is_held(tmp_path))
            return {"loss": model(Z).square().mean()}

        recipe = Recipe(name="test", steps=steps, batch=1, lr=0.1)
        train(model, loss, recipe, file=tmp_path / "run")
    assert held == [False, False]

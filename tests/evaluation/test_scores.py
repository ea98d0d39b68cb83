"""Scores of a run: all are finite, and worse runs score worse."""

import math

import pytest
import torch

from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.evaluation.baselines import Samples, prompt_only
from creativelib.evaluation.scores import Reference, score
from creativelib.metrics.intervals import FewPicturesWarning
from creativelib.vision.judge import Judge
from creativelib.world.oracle import Oracle
from creativelib.world.scenes import draw, sample_scenes


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scored(brisk, refer):
    """Score five runs: plain sampling, the world's own pictures, wild ones, noise, and copies.

    Copies are of one picture with a little noise.
    """
    judge = Judge.load()
    oracle = Oracle.load()
    with torch.no_grad():
        reference = refer(brisk, judge, seen=48, floor=16)
        plain = prompt_only(brisk, "pet", 16, generator=seeded(1))
        pictures = {
            "own": draw(sample_scenes(16, seeded(2), category="pet")),
            "wild": draw(sample_scenes(16, seeded(3), wild=1.0, category="pet")),
            "noise": torch.rand(16, 3, 64, 64, generator=seeded(4)),
            "one": plain.pictures[:1] + 0.01 * torch.rand(16, 3, 64, 64),
        }
        runs = {"plain": plain} | {
            name: Samples(brisk.encode_images(x.clamp(0, 1)), x.clamp(0, 1))
            for name, x in pictures.items()
        }
        with pytest.warns(FewPicturesWarning, match="Frechet distance of 16 pictures"):
            return {
                name: score(drawn, reference, pipe=brisk, judge=judge, oracle=oracle)
                for name, drawn in runs.items()
            }


def test_more_pictures_than_the_floor_has_are_refused_before_any_work(brisk):
    density = GaussianDensity.fit(torch.randn(40, 8, generator=seeded(5)), pca=0.95)
    reference = Reference(
        word="pet",
        density=density,
        typical=torch.zeros(4, 8),
        floor_pool=torch.zeros(16, 8),
        real=torch.zeros(4, 8),
        text=torch.zeros(8),
        members=torch.zeros(2, 8),
        judge_text=torch.zeros(8),
        judge_members=torch.zeros(2, 8),
    )
    with pytest.raises(InputError, match="drawn holds 5 pictures; expected at most 4"):
        score(
            Samples(torch.zeros(5, 8), torch.zeros(5, 3, 8, 8)),
            reference,
            pipe=brisk,
            judge=Judge.load(),
            oracle=Oracle.load(),
        )


def test_every_figure_is_a_number_and_all_runs_have_the_same(scored):
    assert all(math.isfinite(value) for figures in scored.values() for value in figures.values())
    assert len({tuple(figures) for figures in scored.values()}) == 1


@pytest.mark.parametrize(
    "name, order",
    [
        ("true: valid", ["noise", "plain"]),
        ("true: valid and novel", ["plain", "wild"]),
        ("true: surprisal", ["plain", "wild"]),
        ("CLIP: surprisal", ["plain", "wild", "noise"]),
        ("CLIP: positive similarity", ["noise", "plain"]),
        ("Frechet distance, judge", ["plain", "noise"]),
        ("CMMD, judge", ["own", "wild", "noise"]),
        ("CMMD, judge", ["own", "one"]),
        ("rarity score, judge", ["noise", "own"]),
        ("KEN, judge", ["one", "own", "wild"]),
        ("authenticity, judge", ["own", "noise"]),
        ("precision", ["noise", "plain"]),
        ("recall", ["one", "plain"]),
        ("coverage", ["one", "plain"]),
        ("Vendi, q = 1", ["one", "plain"]),
        ("Vendi, q = 2", ["one", "own"]),
        ("total variance", ["one", "plain"]),
        ("distance to the nearest", ["own", "noise"]),
        ("CLIP: distance to the nearest", ["plain", "wild", "noise"]),
        ("CLIP: KL above its floor", ["plain", "noise"]),
        ("positive similarity", ["noise", "plain"]),
        ("relative typicality", ["plain", "wild"]),
    ],
)
def test_directions(scored, name, order):
    values = [scored[run][name] for run in order]
    assert values == sorted(values) and values[0] < values[-1]


def test_plain_sampling_is_near_its_floor(scored):
    assert (
        abs(scored["plain"]["CLIP: KL above its floor"])
        < 0.2 * scored["noise"]["CLIP: KL above its floor"]
    )

"""Few-shot metrics of the true set, a copier and a mode-dropper."""

import pytest
import torch

from creativelib.metrics.realism import fidelity, frechet
from creativelib.metrics.variations import fewshot


def normal(n, seed):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def scores():
    rest = normal(200, 0)
    shown = normal(1, 1)
    sets = {
        "truth": normal(200, 2),
        "copier": shown + 0.01 * normal(200, 3),
        "mode-dropper": normal(1, 4) + 0.3 * normal(200, 5),
    }
    return {name: fewshot(drawn, rest, shown) for name, drawn in sets.items()}


def test_a_copier_is_near_and_covers_nothing(scores):
    assert scores["copier"].distance < 0.05 < scores["truth"].distance
    assert scores["copier"].fidelity.recall < 0.1 < 0.8 < scores["truth"].fidelity.recall
    assert scores["copier"].frechet > 5 * scores["truth"].frechet


def test_a_mode_dropper_is_seen_by_recall_and_coverage(scores):
    dropper = scores["mode-dropper"].fidelity
    truth = scores["truth"].fidelity
    assert dropper.recall < truth.recall - 0.3
    assert dropper.coverage < truth.coverage - 0.3


def test_parts_are_those_of_the_other_functions_and_the_nearest_shown_counts():
    drawn = normal(20, 0)
    rest = normal(30, 1)
    shown = normal(3, 2)
    found = fewshot(drawn, rest, shown, k=2)
    assert found.fidelity == fidelity(drawn, rest, 2) and found.frechet == frechet(drawn, rest)
    nearest = [min((a - b).norm().item() for b in shown) for a in drawn]
    assert found.distance == pytest.approx(sum(nearest) / 20, rel=1e-5)

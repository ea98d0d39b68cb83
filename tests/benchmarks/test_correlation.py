"""Summaries of the big table's rows: metrics that rows have are ranked against the truth."""

import math
from itertools import product

import pytest
import torch

from benchmarks.evaluation.summaries import correlation_figures, metrics, spearman

TRUTHS = ("true: valid", "true: novel in form", "true: valid and novel")


@pytest.fixture
def rows():
    """Rows of two categories, three methods and three seeds, whose truth is a count of the runs."""
    found = []
    for count, (category, method, seed) in enumerate(product("xy", "abc", range(3))):
        found.append(
            {"method": method, "category": category, "seed": seed, "pictures": 16}
            | {
                "Frechet distance, judge": -count,
                "CMMD, judge": 1 - 2 * count,
                "KEN, judge": math.log(1 + count),
                "rarity score, judge": -count,
                "authenticity, judge": 1.0,
            }
            | dict.fromkeys(TRUTHS, count)
        )
    return found


def test_every_metric_is_ranked_against_the_truth_and_less_distance_is_better(rows):
    found = {figure.name: figure.value for figure in correlation_figures(rows)}
    ranked = {
        "- Frechet distance, judge": 1,
        "- CMMD, judge": 1,
        "KEN, judge": 1,
        "rarity score, judge": -1,
        "authenticity, judge": 0,
    }
    assert found == pytest.approx(
        {
            f"{name}: {truth.removeprefix('true: ')}": value
            for name, value in ranked.items()
            for truth in TRUTHS
        }
    )


def test_a_metric_that_some_rows_lack_is_left_out(rows):
    del rows[5]["KEN, judge"]
    assert metrics(rows) == [
        "Frechet distance, judge",
        "CMMD, judge",
        "rarity score, judge",
        "authenticity, judge",
        *TRUTHS,
    ]
    assert not any("KEN" in figure.name for figure in correlation_figures(rows))


def test_what_is_the_same_for_all_runs_ranks_none():
    runs = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]])
    assert spearman(runs, runs[:1].expand(3, -1)).tolist() == pytest.approx([1, -1, 0])

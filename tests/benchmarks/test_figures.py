"""Figures as files: intervals that do not exist, older measurements, notes, and stored rows."""

import json
from math import nan

import pytest
import torch

from benchmarks import figures
from benchmarks.conceptlab import summaries as conceptlab
from benchmarks.evaluation.categories import category_figures, difference_figures
from benchmarks.evaluation.summaries import table_figures
from benchmarks.figures import RESULTS, Figure, publish
from benchmarks.steering import goodhart
from benchmarks.steering import summaries as steering
from creativelib.notebook.stored import results

CATEGORIES = {"pet": 0.0, "plant": 0.5, "fruit": 1.0}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    return tmp_path


def test_what_has_no_interval_is_written_without_one(place):
    publish("one", [Figure("valid", 0.5, "", low=nan, high=nan)], 0)
    (written,) = json.loads((place / "one.json").read_text())["figures"]
    assert written["value"] == 0.5 and written["low"] is None and written["high"] is None


def test_figures_of_older_rows_keep_their_measurement(place):
    measured = {"machine": "a laptop", "versions": {}, "seed": 3, "commit": "abc"}
    publish("old", [Figure("valid", 0.5, "")], 3, measured)
    report = json.loads((place / "old.json").read_text())
    assert {name: report[name] for name in measured} == measured


@pytest.mark.parametrize(
    "name, make",
    [
        ("table", table_figures),
        ("categories", category_figures),
        ("differences", difference_figures),
    ],
)
def test_stored_intervals_are_those_of_the_stored_rows(name, make):
    rows = results("evaluation")
    if name == "table":
        kept = ("method", "category", "seed", "pictures", "seconds a picture", "true: valid")
        rows = [{column: row[column] for column in kept} for row in rows]
    report = json.loads((RESULTS / f"evaluation-{name}.json").read_text())
    stored = {f["name"]: (f["value"], f["low"], f["high"]) for f in report["figures"]}
    found = make(rows)
    assert found and name == "table" or len(found) == len(stored)
    for figure in found:
        value, low, high = stored[figure.name]
        assert figure.value == pytest.approx(value, abs=1e-2)
        if low is not None:
            assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-2)


def near(level: float) -> list[list[float]]:
    """Return columns of five concepts of two pictures that are all near a level."""
    return [[level, level + 0.01 * i] for i in range(5)]


@pytest.mark.parametrize(
    "interval",
    [
        lambda: steering.groups([{"valid": near(x)} for x in CATEGORIES.values()], "valid")[1],
        lambda: conceptlab.everywhere(
            {name: {"way": {"valid": near(x)}} for name, x in CATEGORIES.items()},
            "way",
            "valid",
            scale=1.0,
        )[1],
        lambda: [
            (figure.low / 100, figure.high / 100)
            for figure in goodhart.dial_figures(
                {name: {"way": {"valid": near(x)}} for name, x in CATEGORIES.items()}
            )
        ][0],
    ],
)
def test_other_benchmarks_draw_categories_too(interval):
    """Concepts of one category are alike here: three categories, not fifteen concepts, are few."""
    low, high = interval()
    values = torch.tensor([sum(pair) / 2 for x in CATEGORIES.values() for pair in near(x)])
    alone, ends = figures.bootstrap(values)
    assert high - low > 1.5 * (ends[1] - ends[0]) and low < alone < high

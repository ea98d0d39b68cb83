"""The big table's benchmark: parts of it, and figures of old rows and of rows with evaluations."""

import sys
from dataclasses import replace

import pytest

from benchmarks.evaluation import summaries, table
from benchmarks.evaluation.budget import COSTS, TRUTH, budget_figures, budget_points
from creativelib.evaluation.methods import METHODS
from creativelib.metrics.table import compare
from creativelib.notebook.plots import frontier
from creativelib.notebook.stored import results

SEEDS = 2


def counted(methods, shares):
    """Make rows with evaluations of methods whose shares of valid and novel pictures are given."""
    return [
        {
            "method": method,
            "category": category,
            "seed": seed,
            "pictures": 16,
            TRUTH: share + 0.1 * seed,
            "candidates": METHODS[method].candidates,
            "seconds a picture": 0.2 + i,
            "prior evaluations a picture": 5.0 * METHODS[method].candidates,
            "decoder evaluations a picture": 20.0,
        }
        for i, (method, share) in enumerate(zip(methods, shares, strict=True))
        for category in ("pet", "fruit")
        for seed in range(SEEDS)
    ]


def test_figures_of_rows_without_evaluations():
    """Such rows are stored until all is measured anew."""
    rows = [
        row for row in results("evaluation") if row["seed"] < SEEDS and row["category"] == "pet"
    ]
    found = {figure.name: figure for figure in budget_figures(rows)}
    points = budget_points(rows)
    assert not any("evaluations" in name or "selection" in name for name in found)
    assert list(points) == list(
        compare(rows, metrics=[TRUTH])[(TRUTH, "value")].sort_values(ascending=False).index
    )
    for method, (seconds, share) in points.items():
        assert found[f"{method}: seconds a picture"].value == seconds
        assert found[f"{method}: valid and novel"].value == pytest.approx(100 * share)
        on = found[f"{method}: on the frontier"].value
        assert on == (method in frontier(points))
    assert not set(COSTS) & set(summaries.metrics(rows))
    assert {figure.name.split(": ")[0] for figure in summaries.table_figures(rows)} == set(points)


def test_figures_of_rows_with_evaluations():
    methods = ("plain", "plain, best of 4", "rarity steering, one candidate", "rarity steering")
    rows = counted(methods, (0.1, 0.3, 0.5, 0.4))
    found = {figure.name: figure for figure in budget_figures(rows)}
    assert found["plain, best of 4: prior evaluations a picture"].value == 20
    assert found["rarity steering: decoder evaluations a picture"].value == 20
    gain = found["plain: more with selection"]
    # Paired: the runs differ, and what selection adds to them does not.
    assert (gain.value, gain.low, gain.high) == pytest.approx((20, 20, 20), abs=1e-3)
    assert found["rarity steering: more with selection"].value == pytest.approx(-10, abs=1e-3)
    assert found["rarity steering: on the frontier"].value == 0
    names = {figure.name for figure in summaries.table_figures(rows)}
    assert {f"plain: {name}" for name in COSTS} <= names
    assert summaries.metrics(rows) == [TRUTH]


def test_some_methods_are_made_and_nothing_is_published(tmp_path, monkeypatch):
    """A part continues from the rows that other parts have left, and leaves them alone."""
    asked = []

    def measure(bench, method, cell):
        asked.append((cell.method, method.candidates))
        return {TRUTH: 0.5}

    monkeypatch.setattr(table, "OUT", tmp_path)
    monkeypatch.setattr(table, "FULL", replace(table.FULL, categories=("pet",), seeds=SEEDS))
    monkeypatch.setattr(table, "measure", measure)
    monkeypatch.setattr(table, "identity", lambda bench, method: {})
    monkeypatch.setattr(table.Workbench, "load", lambda: None)
    published = []
    monkeypatch.setattr(table, "publish_all", published.append)
    for words in (["plain", "plain, best of 4"], ["plain, best of 4", "random mix"]):
        monkeypatch.setattr(sys, "argv", ["table", "--methods", *words])
        table.main()
    assert asked == [("plain", 1), ("plain, best of 4", 4)] * 2 + [("random mix", 1)] * 2
    assert published == []
    monkeypatch.setattr(sys, "argv", ["table"])
    table.main()
    assert len(asked) == len(set(METHODS)) * 2 and len(published[0]) == len(METHODS) * 2
    monkeypatch.setattr(sys, "argv", ["table", "--methods", "magic"])
    with pytest.raises(SystemExit):
        table.main()

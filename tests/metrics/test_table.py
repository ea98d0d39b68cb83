"""Tables: means of matched runs, paired differences, text; runs that do not match are refused."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.metrics.intervals import bootstrap, intraclass_correlation
from creativelib.metrics.table import (
    compare,
    compare_by_category,
    intraclass_correlations,
    shown,
)

PLAIN = {"pet": [0.2, 0.4], "plant": [0.6, 0.8], "fruit": [0.9, 0.7]}
FLAT = [value for values in PLAIN.values() for value in values]
GROUPS = [category for category, values in PLAIN.items() for _ in values]


def rows(method, lead=0.0):
    return [
        {"method": method, "category": category, "seed": seed, "pictures": 4, "valid": value + lead}
        for category, values in PLAIN.items()
        for seed, value in enumerate(values)
    ]


BOTH = rows("plain") + rows("steering", lead=0.1)[::-1]


def test_means_with_intervals_over_categories_and_runs():
    frame = compare(BOTH, metrics=["valid"])
    assert list(frame.index) == ["plain", "steering"]
    assert list(frame.columns) == [("valid", part) for part in ("value", "low", "high")]
    wanted = bootstrap(torch.tensor(FLAT), groups=GROUPS)
    assert frame.loc["plain", ("valid", "value")] == pytest.approx(0.6)
    assert tuple(frame.loc["plain", "valid"]) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    alone = bootstrap(torch.tensor(FLAT))
    low, high = (frame.loc["plain", ("valid", end)] for end in ("low", "high"))
    assert high - low > 1.2 * (alone.high - alone.low)


def test_runs_of_one_category_have_no_interval_in_it_and_one_by_category():
    pets = [row for row in BOTH if row["category"] == "pet"]
    text = shown(compare(pets, metrics=["valid"]), digits=2)
    assert text.loc["plain", "valid"] == "0.3"
    by_category = compare_by_category(pets, metric="valid")
    assert tuple(by_category.loc["plain", "pet"]) == pytest.approx((0.3, 0.2, 0.4))


def test_by_category():
    frame = compare_by_category(BOTH, metric="valid")
    assert list(frame.columns.unique(0)) == ["pet", "plant", "fruit"]
    wanted = bootstrap(torch.tensor([0.9, 0.7]))
    assert tuple(frame.loc["plain", "fruit"]) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    lead = compare_by_category(BOTH, metric="valid", than="plain")
    assert tuple(lead.loc["steering", "plant"]) == pytest.approx((0.1, 0.1, 0.1))


def test_how_alike_the_runs_of_a_category_are():
    found = intraclass_correlations(BOTH, metric="valid")
    wanted = intraclass_correlation(torch.tensor(FLAT), GROUPS)
    assert dict(found) == pytest.approx({"plain": wanted, "steering": wanted})


def test_differences_are_paired_by_run_whatever_the_order_of_rows():
    frame = compare(BOTH, metrics=["valid"], than="plain")
    # The variation between runs cancels.
    assert tuple(frame.loc["steering", "valid"]) == pytest.approx((0.1, 0.1, 0.1))
    assert tuple(frame.loc["plain", "valid"]) == (0, 0, 0)


def test_as_text():
    text = shown(compare(BOTH, metrics=["valid"]), digits=2)
    assert text.loc["plain", "valid"].startswith("0.6 (0.3")
    assert "| plain" in text.to_markdown() and "plain" in text.to_latex()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: compare([], metrics=["valid"]), "rows is empty"),
        (lambda r: compare(r[:-1], metrics=["valid"]), "'steering' has 5 runs"),
        (lambda r: compare(r, metrics=["valid", "new"]), "has no new"),
        (
            lambda r: compare(r, metrics=["valid"], than="others"),
            "than is 'others'; expected one of plain, steering",
        ),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        change(BOTH)

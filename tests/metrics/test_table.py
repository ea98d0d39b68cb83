"""Tables: means of matched runs, paired differences, text; runs that do not match are refused."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.metrics.intervals import bootstrap
from creativelib.metrics.table import compare, shown


def rows(method, values, **more):
    return [
        {"method": method, "category": "pet", "seed": seed, "pictures": 4, "valid": value, **more}
        for seed, value in enumerate(values)
    ]


BOTH = rows("plain", [0.2, 0.4, 0.9]) + rows("steering", [0.3, 0.5, 1.0])[::-1]


def test_means_with_intervals():
    frame = compare(BOTH, metrics=["valid"])
    assert list(frame.index) == ["plain", "steering"]
    assert list(frame.columns) == [("valid", part) for part in ("value", "low", "high")]
    wanted = bootstrap(torch.tensor([0.2, 0.4, 0.9]))
    assert frame.loc["plain", ("valid", "value")] == pytest.approx(0.5)
    assert tuple(frame.loc["plain", "valid"]) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )


def test_differences_are_paired_by_run_whatever_the_order_of_rows():
    frame = compare(BOTH, metrics=["valid"], than="plain")
    # The variation between runs cancels.
    assert tuple(frame.loc["steering", "valid"]) == pytest.approx((0.1, 0.1, 0.1))
    assert tuple(frame.loc["plain", "valid"]) == (0, 0, 0)


def test_as_text():
    text = shown(compare(BOTH, metrics=["valid"]), digits=2)
    assert text.loc["plain", "valid"].startswith("0.5 (0.2–")
    assert "| plain" in text.to_markdown() and "plain" in text.to_latex()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: compare([], metrics=["valid"]), "rows is empty"),
        (lambda r: compare(r[:-1], metrics=["valid"]), "'steering' has 2 runs"),
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

"""Tables as notebooks and pages show them."""

import re

import pandas as pd
import pytest

from creativelib.errors import InputError
from creativelib.metrics.table import compare
from creativelib.notebook.tables import Cell, common_format, numbers, show_table

ROWS = {
    "ours": {"valid": 0.912, "FID": 0.0664, "note": "a <b>"},
    "theirs": {"valid": 0.5, "FID": 0.378},
}


def test_numbers_stand_right_with_equal_decimals_and_words_left():
    page = show_table(ROWS, "Two ways.", "way", formats={"valid": ".0%"})._repr_html_()
    assert "<caption>Two ways.</caption>" in page
    assert '<th scope="col">way</th><th scope="col" class="number">valid</th>' in page
    assert '<td class="number">91%</td><td class="number">0.066</td><td>a &lt;b&gt;</td>' in page
    assert '<td class="number">50%</td><td class="number">0.378</td><td></td>' in page


def test_the_best_of_a_column_is_bold():
    page = show_table(ROWS, "Two ways.", best={"valid": max, "FID": min})._repr_html_()
    assert re.findall("<strong>(.*?)</strong>", page) == ["0.912", "0.066"]


def test_wide_tables_scroll_and_can_be_reached_by_keyboard():
    page = show_table(ROWS, 'Of "two" `ways`.')._repr_html_()
    assert 'style="overflow-x:auto" tabindex="0" role="region"' in page
    assert 'aria-label="Of &quot;two&quot; ways."' in page
    assert '<caption>Of "two" <code>ways</code>.</caption>' in page


def test_intervals_have_a_column_of_their_own():
    rows = [
        {"method": method, "category": category, "seed": 0, "pictures": 4, "valid": value}
        for method, values in {"a": (0.5, 0.7), "b": (0.9, 0.9)}.items()
        for category, value in zip(("pet", "plant"), values, strict=True)
    ]
    table = show_table(compare(rows, metrics=["valid"]), "Methods.", "method", best={"valid": max})
    page = table._repr_html_()
    assert '<th scope="col" colspan="2" class="wide">valid</th>' in page
    assert '<td class="number">0.600</td><td class="interval">0.500–0.700</td>' in page
    assert '<td class="number"><strong>0.900</strong></td>' in page
    assert "| a        | 0.600 (0.500–0.700) |" in repr(table)
    one_run = show_table(compare(rows[::2], metrics=["valid"]), "Methods.", "method")
    assert "| a        |   0.500 |" in repr(one_run) and "interval" not in one_run._repr_html_()


def test_a_plain_frame_is_a_table():
    frame = pd.DataFrame({"p": [0.0003, 0.5]}, index=["a", "b"])
    assert '<td class="number">0.0003</td>' in show_table(frame, "Tests.")._repr_html_()


@pytest.mark.parametrize(
    "values, spec",
    [
        ([1, 2000], ",.0f"),
        ([97.8, 9.75], ",.1f"),
        ([0.0664, 0.378], ",.3f"),
        ([0.0004, 12.5], ",.4f"),
        ([0.0, 1e-9, 1.5], ",.4f"),
        ([-15.7, 0.5], ",.1f"),
    ],
)
def test_decimals_suit_all_numbers_of_a_column(values: list[float], spec: str):
    assert common_format(values) == spec


def test_gaps_and_negative_intervals():
    cells = numbers([-1.5, None], [-2.0, None], [0.5, None], spec=".1f")
    assert cells == [Cell("-1.5", "-2.0 to 0.5", number=True), Cell("", "", number=True)]


def test_what_rounds_to_zero_has_no_sign():
    assert [cell.text for cell in numbers([-0.001, 0.0, -0.01], spec=".2f")] == [
        "0.00",
        "0.00",
        "-0.01",
    ]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": {}}, "rows is empty"),
        ({"caption": " "}, "caption is empty"),
        ({"formats": {"KID": ".2f"}}, "formats names KID; expected valid, FID, note"),
        ({"best": {"KID": max}}, "best names KID"),
    ],
)
def test_bad_input_is_named(change: dict, message: str):
    with pytest.raises(InputError, match=message):
        show_table(**{"rows": ROWS, "caption": "Two ways."} | change)

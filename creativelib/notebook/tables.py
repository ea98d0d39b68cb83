"""Tables for chapters and pages: numbers aligned, intervals apart, the best in bold."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, isfinite, isnan, log10
from typing import Any

import pandas as pd

from ..errors import InputError

# Decimals that a table shows at most.
MOST_DECIMALS = 4
CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Cell:
    """What stands in one cell."""

    text: str
    # Interval of a number, if it has one.
    interval: str = ""
    # Whether it is a number, which is set to the right.
    number: bool = False
    # Whether it is the best of its column.
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table that notebooks show as HTML, and consoles and Markdown as text.

    On a narrow screen it scrolls by itself, so the page stays as wide as the screen.
    """

    # What the table shows, in a sentence; `words in backticks` are set as code.
    caption: str
    # Titles of the columns, of which the first holds the rows' names.
    head: Sequence[str]
    # One list of cells for each row, as long as the head.
    rows: Sequence[Sequence[Cell]]

    def __repr__(self) -> str:
        texts = [[_plain(cell) for cell in row] for row in self.rows]
        sides = ["right" if cells[0].number else "left" for cells in zip(*self.rows, strict=True)]
        frame = pd.DataFrame(texts, columns=list(self.head))
        return frame.to_markdown(index=False, disable_numparse=True, colalign=sides)

    def _repr_html_(self) -> str:
        wide = [any(cell.interval for cell in cells) for cells in zip(*self.rows, strict=True)]
        head = (
            _head_html(title, cells[0].number, span)
            for title, cells, span in zip(
                self.head, zip(*self.rows, strict=True), wide, strict=True
            )
        )
        body = (f"<tr>{_row_html(row, wide)}</tr>" for row in self.rows)
        lines = (
            # Whoever uses a keyboard can scroll only what takes the focus.
            '<div class="book-table" style="overflow-x:auto" tabindex="0" role="region" '
            f'aria-label="{_label(self.caption)}">',
            "<table>",
            f"<caption>{_html(self.caption)}</caption>",
            f"<thead><tr>{''.join(head)}</tr></thead>",
            "<tbody>",
            *body,
            "</tbody>",
            "</table>",
            "</div>",
        )
        return "\n".join(lines)


def show_table(
    rows: pd.DataFrame | Mapping[str, Mapping[str, Any]],
    caption: str,
    corner: str = "",
    formats: Mapping[str, str] | None = None,
    best: Mapping[str, Callable[..., Any]] | None = None,
) -> Table:
    """Lay out rows of numbers and words as a table; the last line of a cell shows it.

    `rows` is a mapping from a row's name to its values by column, or a data frame; of a frame from
    `metrics.table.compare` each value is shown with its interval. `corner` is the title of the
    rows' names. `formats` holds format specifications of numbers by column, such as ".0%"; other
    columns get as many decimals as their numbers need, the same for all. `best` holds max or min by
    column: the best value is set in bold.

    Raises InputError for no rows, an empty caption, and a column of `formats` or `best` that does
    not exist.
    """
    names, columns = _columns(rows)
    formats = formats or {}
    best = best or {}
    if not caption.strip():
        raise InputError("caption is empty; expected a sentence that says what the table shows")
    if not names:
        raise InputError("rows is empty; expected at least one row")
    for argument, given in {"formats": formats, "best": best}.items():
        if unknown := set(given) - set(columns):
            raise InputError(
                f"{argument} names {', '.join(sorted(unknown))}; expected {', '.join(columns)}"
            )
    cells = [
        numbers(*parts, spec=formats.get(title), best=best.get(title))
        for title, parts in columns.items()
    ]
    first = [Cell(name) for name in names]
    return Table(caption, [corner, *columns], list(zip(first, *cells, strict=True)))


def numbers(
    values: Sequence[Any],
    lows: Sequence[float | None] | None = None,
    highs: Sequence[float | None] | None = None,
    spec: str | None = None,
    best: Callable[..., Any] | None = None,
) -> list[Cell]:
    """Format a column's values with their intervals, all with the same number of decimals.

    Values may be numbers, texts, or None for an empty cell. Ends of intervals that are None or NaN
    are not shown. `best` is max or min.
    """
    counted = [value for value in values if _is_number(value)]
    bounds = [end for end in (*(lows or ()), *(highs or ())) if end is not None]
    spec = spec or common_format(counted or bounds)
    top = best(counted) if best and len(counted) > 1 else None
    ends = zip(lows or [None] * len(values), highs or [None] * len(values), strict=True)
    return [
        Cell(
            text=_text(value, spec),
            interval=_interval(low, high, spec),
            number=value is None and bool(counted) or _is_number(value),
            best=top is not None and _is_number(value) and value == top,
        )
        for value, (low, high) in zip(values, ends, strict=True)
    ]


def common_format(values: Sequence[float]) -> str:
    """Return the format in which numbers of one column share their decimals.

    The largest number has three digits, and the smallest one at least one that is not 0.
    """
    if all(float(value).is_integer() for value in values):
        return ",.0f"
    sizes = [abs(value) for value in values if value and isfinite(value)]
    decimals = max(2 - floor(log10(max(sizes))), -floor(log10(min(sizes))))
    return f",.{min(max(decimals, 0), MOST_DECIMALS)}f"


def _columns(
    rows: pd.DataFrame | Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], dict[str, tuple[list[Any], ...]]]:
    """Return the rows' names and, by title, each column's values and ends of intervals."""
    if not isinstance(rows, pd.DataFrame):
        titles = list(dict.fromkeys(title for row in rows.values() for title in row))
        return [str(name) for name in rows], {
            str(title): ([row.get(title) for row in rows.values()],) for title in titles
        }
    names = [str(name) for name in rows.index]
    if rows.columns.nlevels == 1:
        return names, {str(title): (rows[title].tolist(),) for title in rows.columns}
    titles = rows.columns.get_level_values(0).unique()
    parts = ("value", "low", "high")
    return names, {
        str(title): tuple(rows[title, part].tolist() for part in parts) for title in titles
    }


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, (str, bool))


def _interval(low: float | None, high: float | None, spec: str) -> str:
    if low is None or high is None or isnan(low) or isnan(high):
        return ""
    # A dash beside a minus confuses.
    between = "–" if low >= 0 else " to "
    return f"{_text(low, spec)}{between}{_text(high, spec)}"


def _text(value: Any, spec: str) -> str:
    if not _is_number(value):
        return "" if value is None else str(value)
    text = f"{value:{spec}}"
    # What rounds to zero has no sign.
    return text if any(digit in text for digit in "123456789") else text.removeprefix("-")


def _plain(cell: Cell) -> str:
    return f"{cell.text} ({cell.interval})" if cell.interval else cell.text


def _head_html(title: str, number: bool, wide: bool) -> str:
    kind = ' colspan="2" class="wide"' if wide else ' class="number"' if number else ""
    return f'<th scope="col"{kind}>{_html(title)}</th>'


def _row_html(row: Sequence[Cell], wide: Sequence[bool]) -> str:
    first, *others = row
    parts = [f'<th scope="row">{_html(first.text)}</th>']
    for cell, span in zip(others, wide[1:], strict=True):
        text = f"<strong>{_html(cell.text)}</strong>" if cell.best else _html(cell.text)
        kind = ' class="number"' if cell.number else ""
        parts.append(f"<td{kind}>{text}</td>")
        if span:
            parts.append(f'<td class="interval">{cell.interval}</td>')
    return "".join(parts)


def _html(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def _label(text: str) -> str:
    return escape(text.replace("`", ""))

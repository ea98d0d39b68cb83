"""A declared comparison: every method on the same categories, seeds and number of pictures.

    protocol = Protocol(("plain", "steering"), ("pet",), seeds=5, pictures=16)
    for row in run_protocol(protocol, make, "out/rows.jsonl"):
        ...

`make` gets one cell of the protocol and returns its figures. The file has one line of JSON for each
row and only ever grows. A cell that it holds already is not made again, so a run that was killed
resumes, and a protocol with more methods or seeds continues from the finished file. A row also
records its identity, such as model, version and settings; with another identity the cell is made
anew.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..english import different_texts
from ..errors import InputError, check_fields, whole

Row = dict[str, Any]
# Runs of a method and category.
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Cell:
    """One result of a protocol."""

    method: str
    category: str
    seed: int
    pictures: int


@dataclass(frozen=True)
class Protocol:
    """What is compared. Negatives and budgets belong to the methods.

    Raises InputError for no or repeated methods or categories, and fewer than one seed or picture,
    or more than anyone can wait for.
    """

    methods: tuple[str, ...]
    categories: tuple[str, ...]
    # Seeds 0 to seeds - 1.
    seeds: int
    # Of each run.
    pictures: int

    def __post_init__(self) -> None:
        check_fields(self, different_texts, {"methods": (), "categories": ()})
        check_fields(self, whole, {"seeds": (1, MOST_SEEDS), "pictures": (1,)})

    def cells(self) -> list[Cell]:
        """List all cells, seed by seed: any beginning compares all methods."""
        return [
            Cell(method, category, seed, self.pictures)
            for seed in range(self.seeds)
            for category in self.categories
            for method in self.methods
        ]


def run_protocol(
    protocol: Protocol,
    make: Callable[[Cell], Mapping[str, Any]],
    file: str | Path | None,
    shard: tuple[int, int] = (0, 1),
    identity: Callable[[Cell], Mapping[str, Any]] | None = None,
    known: Sequence[Row] = (),
) -> Iterator[Row]:
    """Yield a row for each cell: the cell's own values, its identity, then what `make` returned.

    file: holds the rows; None keeps none.
    shard: (i, n) makes every n-th category and seed, beginning with the i-th, so that n processes
        can divide the work, each with a file of its own; `read_rows` takes them together.
    identity: what a row depends on besides its cell; a row with another identity is made anew.
    known: rows made elsewhere, such as those of shards, which `file` need not hold.

    A line that a kill cut short is dropped and made again. Raises InputError for a shard out of
    range, and for a file that does not hold rows.
    """
    index, count = shard
    if not isinstance(index, int) or not isinstance(count, int) or not 0 <= index < count:
        raise InputError(f"shard is {shard}; expected (i, n) with 0 <= i < n")
    path = None if file is None else Path(file)
    identify = identity or (lambda cell: {})
    rows = _latest([*known, *(_lines(path) if path and path.exists() else [])])
    return _run_protocol(protocol, make, path, index, count, identify, rows)


def _run_protocol(
    protocol: Protocol,
    make: Callable[[Cell], Mapping[str, Any]],
    file: Path | None,
    index: int,
    count: int,
    identity: Callable[[Cell], Mapping[str, Any]],
    rows: dict[Cell, Row],
) -> Iterator[Row]:
    for i, cell in enumerate(protocol.cells()):
        if i // len(protocol.methods) % count != index:
            continue
        own = json.loads(json.dumps(dict(identity(cell))))
        if cell not in rows or rows[cell]["identity"] != own:
            row = asdict(cell) | {"identity": own} | dict(make(cell))
            rows[cell] = json.loads(json.dumps(row))
            if file is not None:
                _append(file, rows[cell])
        yield rows[cell]


def read_rows(protocol: Protocol, *files: str | Path) -> list[Row]:
    """Read a protocol's rows from files, in the protocol's order.

    Of a cell that was made several times, the last row counts. Raises InputError for a file that
    does not hold rows.
    """
    rows = {}
    for file in files:
        rows |= _latest(_lines(Path(file)))
    return [rows[cell] for cell in protocol.cells() if cell in rows]


def _latest(lines: Sequence[Row]) -> dict[Cell, Row]:
    return {_cell(row): row for row in lines}


def _cell(row: Row) -> Cell:
    return Cell(row["method"], row["category"], row["seed"], row["pictures"])


def _lines(file: Path) -> list[Row]:
    """Read all whole lines, and take off one that was cut short: the next would be glued to it."""
    text = file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        with file.open("r+b") as stream:
            stream.truncate(len(whole))
    lines: list[Any]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except ValueError:
        lines = [None]
    if not all(
        isinstance(line, dict) and "method" in line and "identity" in line for line in lines
    ):
        raise InputError(
            f"file {str(file)!r} holds a line that is not a row; expected a file that "
            "run_protocol wrote"
        )
    return lines


def _append(file: Path, row: Row) -> None:
    """Write a row in one piece, on disk before the next cell begins."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as stream:
        stream.write(json.dumps(row).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())

"""A declared comparison: every method on the same categories, seeds and number of pictures; one line of JSON for each result.

    for row in run(Protocol(("plain", "steering"), ("pet",), seeds=5, pictures=16), make, Path("out/rows.jsonl")):
        ...

`make` is given one cell of the protocol and returns its figures. What a file holds already is not made again, so a run that was killed goes
on where it stopped.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, at_least


@dataclass(frozen=True)
class Cell:
    """One result of a protocol: a method, on a category, with one of the seeds, for so many pictures."""

    method: str
    category: str
    seed: int
    pictures: int


@dataclass(frozen=True)
class Protocol:
    """What is compared. Negatives and budgets belong to the methods: a method with other negatives has another name.

    Raises InputError for no or repeated methods or categories, and fewer than one seed or picture.
    """

    methods: tuple[str, ...]
    categories: tuple[str, ...]
    seeds: int
    pictures: int

    def __post_init__(self) -> None:
        for name, values in {"methods": self.methods, "categories": self.categories}.items():
            if not values or len(set(values)) < len(values):
                raise InputError(f"{name} is {values!r}; expected one or more different names")
        for name in ("seeds", "pictures"):
            at_least(name, getattr(self, name), 1)

    def cells(self) -> list[Cell]:
        """In an order in which any beginning compares all methods: seed by seed, category by category."""
        return [
            Cell(method, category, seed, self.pictures)
            for seed in range(self.seeds)
            for category in self.categories
            for method in self.methods
        ]


def run_protocol(
    protocol: Protocol,
    make: Callable[[Cell], Mapping[str, Any]],
    file: Path,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Any]]:
    """Yield a row for each cell: the cell's own values, then what `make` found. Rows that the file holds are read, others made and added.

    With a `share` (i, n) only the cells of every n-th category and seed are made, beginning with the i-th, so that n processes can divide
    the work, each with a file of its own; `read` takes them together. A line that a kill cut short is dropped and made again. Raises
    InputError for a share out of range, and a file of another protocol.
    """
    mine, of = shard
    if not 0 <= mine < of:
        raise InputError(f"share is {shard}; expected (i, n) with 0 <= i < n")
    file.parent.mkdir(parents=True, exist_ok=True)
    return _run_protocol(protocol, make, file, mine, of)


def _run_protocol(
    protocol: Protocol, make: Callable[[Cell], Mapping[str, Any]], file: Path, mine: int, of: int
) -> Iterator[dict[str, Any]]:
    if not file.exists():
        _append(file, {"protocol": asdict(protocol)})
    kept = {_cell(row): row for row in read_rows(protocol, file)}
    for i, cell in enumerate(protocol.cells()):
        if i // len(protocol.methods) % of != mine:
            continue
        if cell not in kept:
            kept[cell] = json.loads(json.dumps(asdict(cell) | dict(make(cell))))
            _append(file, kept[cell])
        yield kept[cell]


def read_rows(protocol: Protocol, *files: Path) -> list[dict[str, Any]]:
    """The rows of files of one protocol, in the protocol's order. Raises InputError for a file of another one, or of none."""
    found = {}
    for file in files:
        lines = _lines(file)
        declared = json.loads(json.dumps(asdict(protocol)))
        if not lines or lines[0].get("protocol") != declared:
            raise InputError(
                f"file {str(file)!r} holds results of another protocol; expected another file, or that protocol"
            )
        found |= {_cell(row): row for row in lines[1:]}
    return [found[cell] for cell in protocol.cells() if cell in found]


def _cell(row: Mapping[str, Any]) -> Cell:
    return Cell(row["method"], row["category"], row["seed"], row["pictures"])


def _lines(file: Path) -> list[dict[str, Any]]:
    """All whole lines; one that was cut short is taken off the file, or the next would be written behind it."""
    text = file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        with file.open("r+b") as stream:
            stream.truncate(len(whole))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError:
        raise InputError(f"file {str(file)!r} holds no results: a line of it is no JSON") from None


def _append(file: Path, row: Mapping[str, Any]) -> None:
    """One write, and on disk before the next cell begins."""
    with file.open("ab") as stream:
        stream.write(json.dumps(row).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())

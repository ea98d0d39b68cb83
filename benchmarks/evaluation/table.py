"""All methods by all metrics and by the truth (chapters 09 and 10).

    python -m benchmarks.evaluation.table --shard 0 2   # every second category and seed
    python -m benchmarks.evaluation.table --shard 1 2   # the others, in a process beside it
    python -m benchmarks.evaluation.table --methods plain "plain, best of 4"   # only these
    python -m benchmarks.evaluation.table               # publish; makes what is missing

8 categories x 5 seeds x 16 pictures of each method of `creativelib.evaluation.methods`, without
selection and with it. Methods that learn the same concepts share them, if one process makes both.
Rows are kept in out/benchmark-evaluation; with some methods or a shard they are made and nothing
is published. With another model, version or settings they are made anew; after any other change of
the code, delete them.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from benchmarks.evaluation.summaries import publish_all
from creativelib.evaluation.methods import FULL, METHODS, identity, measure
from creativelib.evaluation.protocol import Cell, Protocol, read_rows, run_protocol
from creativelib.evaluation.workbench import Workbench

OUT = Path("out") / "benchmark-evaluation"


def make_rows(protocol: Protocol, shard: tuple[int, int]) -> list[dict[str, Any]]:
    """Make the rows of a protocol's shard that are missing; return all of them."""
    bench = Workbench.load()

    def make(cell: Cell) -> dict[str, Any]:
        return measure(bench, METHODS[cell.method], cell)

    def identify(cell: Cell) -> dict[str, Any]:
        return identity(bench, METHODS[cell.method])

    index, count = shard
    file = OUT / f"rows-{index}-of-{count}.jsonl"
    known = read_rows(protocol, *OUT.glob("rows*.jsonl"))
    with torch.no_grad():
        rows = run_protocol(protocol, make, file, shard, identity=identify, known=known)
        return list(tqdm(rows, total=-(-len(protocol.cells()) // count)))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shard", nargs=2, type=int, metavar=("I", "N"))
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD")
    options = parser.parse_args()
    protocol = replace(FULL, methods=tuple(options.methods or METHODS))
    index, count = options.shard or (0, 1)
    rows = make_rows(protocol, (index, count))
    if not options.shard and not options.methods:
        publish_all([{k: v for k, v in row.items() if k != "identity"} for row in rows])


if __name__ == "__main__":
    main()

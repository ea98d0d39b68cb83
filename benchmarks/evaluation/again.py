"""python -m benchmarks.evaluation.again: make figures anew from stored rows; nothing is measured.

These are the figures of `benchmarks.evaluation.table` that need no embeddings and whose intervals
depend on how they are made: the table, its categories, and differences. Rows are those of
`benchmarks/results/evaluation-runs.csv`, which have four decimals. Machine, versions and commit
stay those of the measurement.
"""

import json

from benchmarks.evaluation.summaries import FIGURES
from benchmarks.figures import RESULTS, publish
from creativelib.notebook.stored import results

PARTS = ("table", "categories", "differences")


def main() -> None:
    """Run the command line."""
    rows = results("evaluation")
    report = json.loads((RESULTS / "evaluation-table.json").read_text(encoding="utf-8"))
    measured = {name: value for name, value in report.items() if name != "figures"}
    for part in PARTS:
        publish(f"evaluation-{part}", FIGURES[part](rows), measured["seed"], measured)


if __name__ == "__main__":
    main()

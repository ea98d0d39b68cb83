"""python -m benchmarks.notebook.chapters: time every chapter and its slowest cell on one core.

The notebooks' tests (nbval) run each cell and compare its output. A chapter whose output differs
stops the benchmark.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Figure, publish

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",
}
TIMED = re.compile(
    r"^([\d.]+)s (?:call|setup)\s+notebooks/([\w-]+)\.ipynb::Cell (\d+)", re.MULTILINE
)


def main() -> None:
    figures = []
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--nbval",
            "--nbval-current-env",
            "--nbval-sanitize-with",
            "tests/sanitize.cfg",
            "--nbval-cell-timeout",
            "300",
            "--durations",
            "0",
            "--durations-min",
            "0.01",
            str(notebook.relative_to(ROOT)),
        ]
        run = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env=os.environ | SETTINGS
        )
        if run.returncode:
            sys.exit(f"{notebook.name} does not pass:\n{run.stdout[-3000:]}")
        took = {int(cell): float(seconds) for seconds, _, cell in TIMED.findall(run.stdout)}
        slowest = max(took, key=lambda cell: took[cell])
        figures += [
            Figure(f"{notebook.stem}: all cells", sum(took.values()), "s"),
            Figure(f"{notebook.stem}: the slowest cell", took[slowest], "s"),
        ]
    publish("chapters", figures, seed=0)


if __name__ == "__main__":
    main()

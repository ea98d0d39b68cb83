"""python -m benchmarks.commands.seconds [REVISION]: where the bundled model's seconds go on a CPU.

Times imports, loading, one step of each paper's loop, and the stages of `creativelib create`, each
in a process of its own and as the least of several. With the revision of an earlier commit, a
worktree of it is timed in turns with this one, so that both run on the same machine under the same
load.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, publish

ROOT = Path(__file__).parents[2]
ROUNDS = 3

IMPORTS = """
import time
started = time.perf_counter()
import torch
had = time.perf_counter()
import creativelib.commands.creation
took = {"import of torch": had - started}
took["import of creativelib.commands.creation, after torch"] = time.perf_counter() - had
"""
LOAD = """
import time
import torch
from creativelib.unclip.pipeline import load
started = time.perf_counter()
load("menagerie", "cpu")
took = {"first load, with diffusers' and transformers' imports": time.perf_counter() - started}
started = time.perf_counter()
load("menagerie", "cpu")
took["second load: sums and weights"] = time.perf_counter() - started
"""
STEPS = """
import time
import torch
from creativelib.conceptlab.learning import iter_learn
from creativelib.conceptlab.settings import LearnConfig
from creativelib.steering.recipe import iter_steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline
from creativelib.unclip.pipeline import load
pipe = load("menagerie", "cpu")
density = fit_baseline(pipe, "a photo of a pet", SteerConfig(baseline_samples=500))
took = {}
loops = {
    "a step of steering, 4 concepts x 6 samples": iter_steer(
        pipe, "pet", density, SteerConfig(dial=20.0)
    ),
    "a step of ConceptLab, 4 concepts x 2 samples": iter_learn(
        pipe, "pet", ["cat", "dog", "bird"], LearnConfig()
    ),
}
for name, runs in loops.items():
    for _ in range(3):
        next(runs)
    found = []
    for _ in range(9):
        started = time.perf_counter()
        next(runs)
        found.append(time.perf_counter() - started)
    took[name] = sorted(found)[4]
"""
CREATE = """
import tempfile
from creativelib.commands.creation import create
with tempfile.TemporaryDirectory() as out:
    seconds = create("a photo of a pet", out, device="cpu").report["seconds"]
took = {f"create: {stage}": value for stage, value in seconds.items()}
"""


def measure(tree: Path) -> dict[str, float]:
    """Return the seconds that each script takes with the code of one tree."""
    found = {}
    for script in (IMPORTS, LOAD, STEPS, CREATE):
        with tempfile.TemporaryDirectory() as cache:
            settings = {
                "PYTHONPATH": str(tree),
                "CREATIVELIB_CACHE": cache,
                "TQDM_DISABLE": "1",
                "HF_HUB_OFFLINE": "1",
            }
            run = subprocess.run(
                [sys.executable, "-c", f"{script}\nimport json\nprint(json.dumps(took))"],
                cwd=cache,
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | settings,
            )
        found |= json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", nargs="?", help="an earlier commit")
    revision = parser.parse_args().revision
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": ROOT}
        if revision:
            trees = {"before": Path(folder) / "tree", "now": ROOT}
            subprocess.run(
                ["git", "worktree", "add", "-q", "--detach", str(trees["before"]), revision],
                cwd=ROOT,
                check=True,
            )
        try:
            rounds = [{name: measure(tree) for name, tree in trees.items()} for _ in range(ROUNDS)]
        finally:
            if revision:
                subprocess.run(
                    ["git", "worktree", "remove", "--force", str(trees["before"])],
                    cwd=ROOT,
                    check=True,
                )
    figures = [
        Figure(f"{what}: {name}", min(each[name][what] for each in rounds), "s")
        for what in rounds[0]["now"]
        for name in trees
    ]
    publish("seconds", figures, seed=0)


if __name__ == "__main__":
    main()

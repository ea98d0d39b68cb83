"""python -m benchmarks.everything: measure all that the book quotes anew, and write its tables.

`make results` runs this. Benchmarks run side by side, one core each, in the order of the time they
took before; those that measure time run at the end, one at a time. Finished benchmarks are noted in
out/results, so that an interrupted run resumes where it stopped; with other models it starts again.
A benchmark that fails leaves its log there and does not stop the others. The minutes that each one
took are written to results/minutes.json, from which the next run estimates its own time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import RESULTS
from creativelib.files import atomic_write, cache_folder
from creativelib.models.location import verify
from creativelib.models.names import MODELS

ROOT = Path(__file__).parent.parent
OUT = ROOT / "out" / "results"
MINUTES = RESULTS / "minutes.json"


@dataclass(frozen=True)
class Job:
    """A benchmark to run."""

    name: str
    command: tuple[str, ...]
    # Names of the results that it writes.
    results: tuple[str, ...]
    # Whether it needs the machine for itself.
    alone: bool = False
    # A folder that it reads and that is not bundled.
    needs: Path | None = None


def benchmark(
    module: str,
    *words: str,
    results: Sequence[str],
    name: str | None = None,
    alone: bool = False,
    needs: Path | None = None,
) -> Job:
    """Make the job of a module with the words of its command line."""
    return Job(
        name=name or " ".join((module, *words)),
        command=(sys.executable, "-m", f"benchmarks.{module}", *words),
        results=tuple(results),
        alone=alone,
        needs=needs,
    )


def by_part(module: str, results: str, *parts: str, alone: bool = False) -> list[Job]:
    """Make a job for each part of a benchmark."""
    return [benchmark(module, part, results=[f"{results}-{part}"], alone=alone) for part in parts]


UNAIDED = cache_folder() / "clip-unaided"
VARIANTS = cache_folder() / "semantica"
JOBS = (
    benchmark("models.bundled", results=["models"]),
    benchmark("models.bundled", "--model", "menagerie-128", results=["models-menagerie-128"]),
    *by_part("unclip.generation", "unclip", "priors", "inversion", "edits"),
    *by_part("semantica.variations", "semantica", "truth", "fewshot", "metrics"),
    benchmark("semantica.variations", "variants", results=["semantica-variants"], needs=VARIANTS),
    *by_part(
        "steering.runs",
        "steering",
        "main",
        "ablation",
        "rival",
        "guidance",
        "dial",
        "depth",
        "batch",
    ),
    *by_part("conceptlab.runs", "conceptlab", "main", "adaptive", "ablation", "weight", "mix"),
    benchmark("steering.goodhart", results=["goodhart-dial"]),
    benchmark("steering.galleries", results=["steering-habituation"]),
    benchmark("density.calibration", results=["density-calibration"]),
    benchmark("density.crowds", results=["density-crowds"]),
    benchmark("density.recovery", results=["density"]),
    benchmark(
        "density.recovery",
        "--clip",
        str(UNAIDED),
        name="density, other CLIP",
        results=["density-other-clip"],
        needs=UNAIDED,
    ),
    benchmark(
        "evaluation.table",
        results=[
            "evaluation-table",
            "evaluation-categories",
            "evaluation-differences",
            "evaluation-correlation",
            "evaluation-oracles",
            "evaluation-claims",
            "evaluation-budget",
        ],
    ),
    *by_part("steering.runs", "steering", "cost", alone=True),
    benchmark("density.cost", results=["density_cost"], alone=True),
    benchmark("commands.creation", results=["create"], alone=True),
    benchmark("commands.seconds", results=["seconds"], alone=True),
    benchmark(
        "unclip.kandinsky",
        results=[
            f"kandinsky-{part}-cpu"
            for part in ("step", "rate", "prior", "density", "precision", "memory")
        ],
        alone=True,
    ),
    benchmark("notebook.chapters", results=["chapters"], alone=True),
)
TABLES = ("make_model_card", "make_measurements")


def fingerprint() -> str:
    """Hash the files of all models that ship: results of other models do not count."""
    return " ".join(verify(model.folder) for model in MODELS.values() if model.folder is not None)


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write(found: dict, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as part:
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")


def left(jobs: Sequence[Job], minutes: dict[str, float], cores: int) -> str:
    """Say how long jobs will take, by the minutes that they took before."""
    timed = [job for job in jobs if job.name in minutes]
    if not timed:
        return f"{len(jobs)} to go, an unknown time"
    total = sum(minutes[job.name] / (1 if job.alone else cores) for job in timed)
    unknown = len(jobs) - len(timed)
    rest = f" and {unknown} not timed before" if unknown else ""
    return f"{len(jobs)} to go, about {total:.0f} minutes{rest}"


@dataclass
class Running:
    """A job in progress, with the time of its start."""

    job: Job
    process: subprocess.Popen
    begun: float


def start(job: Job) -> Running:
    """Start a job as a process that writes its output to a log."""
    OUT.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if not job.alone:
        environment["OMP_NUM_THREADS"] = "1"
    file = OUT / f"{job.name.replace(' ', '-').replace('/', '-')}.log"
    with file.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            job.command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
        )
    return Running(job, process, time.monotonic())


def ready(waiting: list[Job], running: list[Running], cores: int) -> Job | None:
    """Take the next job that may start beside those that run, if there is one."""
    if not waiting or len(running) >= cores or any(each.job.alone for each in running):
        return None
    if waiting[0].alone and running:
        return None
    return waiting.pop(0)


def measure(jobs: Sequence[Job], cores: int) -> list[str]:
    """Run the jobs that are not done yet, and return the names of those that failed."""
    state = read(OUT / "state.json")
    models = fingerprint()
    done = state["done"] if state.get("models") == models else []
    minutes = read(MINUTES)
    absent = [job for job in jobs if job.needs is not None and not job.needs.exists()]
    for job in absent:
        print(
            f"left out: {job.name}, which needs {job.needs} (see python -m creativelib.training)",
            flush=True,
        )
    todo = [job for job in jobs if job.name not in done and job not in absent]
    waiting = sorted(todo, key=lambda job: (job.alone, minutes.get(job.name, float("inf"))))
    running: list[Running] = []
    failed: list[str] = []
    print(left(waiting, minutes, cores), flush=True)
    while waiting or running:
        while job := ready(waiting, running, cores):
            running.append(start(job))
        time.sleep(0.05)
        for each in [each for each in running if each.process.poll() is not None]:
            running.remove(each)
            took = (time.monotonic() - each.begun) / 60
            if each.process.returncode:
                failed.append(each.job.name)
            else:
                done = [*done, each.job.name]
                minutes[each.job.name] = round(took, 1)
                write({"models": models, "done": done}, OUT / "state.json")
                write(dict(sorted(minutes.items())), MINUTES)
            outcome = "failed" if each.process.returncode else "done"
            remaining = [*waiting, *(other.job for other in running)]
            print(
                f"{each.job.name}: {outcome} after {took:.1f} minutes; "
                f"{left(remaining, minutes, cores)}",
                flush=True,
            )
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cores", type=int, default=os.cpu_count(), help="how many benchmarks run side by side"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="JOB",
        choices=[job.name for job in JOBS],
        help="run these benchmarks alone",
    )
    options = parser.parse_args()
    jobs = [job for job in JOBS if not options.only or job.name in options.only]
    failed = measure(jobs, options.cores)
    for table in TABLES:
        subprocess.run([sys.executable, str(ROOT / "book" / f"{table}.py")], check=True, cwd=ROOT)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; their logs are in {OUT}")
    print(
        "All is measured. Now: make notebooks, then make test, which names the sentences that no "
        "longer follow."
    )


if __name__ == "__main__":
    main()

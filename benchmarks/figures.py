"""Figures with intervals, printed as a table and written to a results file that the book quotes."""

import argparse
import json
import platform
import subprocess
from collections.abc import Collection, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from creativelib.metrics import intervals

RESULTS = Path(__file__).parent / "results"


def asked(doc: str, parts: Collection[str]) -> list[str]:
    """Return the parts of a benchmark that the command line names; by default all."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all by default"
    )
    chosen = parser.parse_args().parts
    if unknown := set(chosen) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; expected {', '.join(parts)}")
    return chosen or list(parts)


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    # The value that was required, if any.
    bar: float | None = None
    # Whether the value reaches the bar.
    holds: bool | None = None
    # Bounds with 95 % confidence, if the value was estimated from a sample.
    low: float | None = None
    high: float | None = None


def at_least(
    name: str, value: float, unit: str, bar: float, interval: tuple[float, float] | None = None
) -> Figure:
    """Make a figure that has to reach a bar from above."""
    low, high = interval or (None, None)
    return Figure(name, value, unit, bar=bar, holds=value >= bar, low=low, high=high)


def at_most(
    name: str, value: float, unit: str, bar: float, interval: tuple[float, float] | None = None
) -> Figure:
    """Make a figure that must not exceed a bar."""
    low, high = interval or (None, None)
    return Figure(name, value, unit, bar=bar, holds=value <= bar, low=low, high=high)


def share(hits: Tensor) -> tuple[float, tuple[float, float]]:
    """Compute the share of True in percent, and its Wilson interval at 95 %."""
    n = hits.numel()
    p = hits.double().mean().item()
    z = 1.96
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return 100 * p, (100 * max(0.0, center - half), 100 * min(1.0, center + half))


def bootstrap(
    values: Tensor, statistic=None, groups: Sequence[Hashable] | None = None
) -> tuple[float, tuple[float, float]]:
    """Compute a statistic of a sample, by default its mean, and its bootstrap interval at 95 %.

    `groups` names the category of each value; `intervals.bootstrap` then draws in two stages.
    """
    estimate = intervals.bootstrap(values, statistic, groups=groups)
    return estimate.value, (estimate.low, estimate.high)


def machine() -> str:
    """Name the GPU, if there is one, and the processor with the number of torch's threads."""
    names = [platform.processor()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{gpu}{names[0]}, {torch.get_num_threads()} threads"


def commit() -> str:
    """Return the measured commit's hash, with a plus sign if the working tree has changes."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=RESULTS.parent)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "creativelib")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def measurement(seed: int) -> dict[str, Any]:
    """Say where and with what something is measured now."""
    packages = ("torch", "diffusers", "transformers", "scikit-learn")
    return {
        "machine": machine(),
        "versions": {p: version(p) for p in packages},
        "seed": seed,
        "commit": commit(),
    }


def bound(end: float | None) -> float | None:
    """Round the end of an interval; NaN, which says that there is none, becomes None."""
    return None if end is None or isnan(end) else round(end, 4)


def publish(
    name: str, figures: list[Figure], seed: int, measured: dict[str, Any] | None = None
) -> None:
    """Print a table of the figures and write results/NAME.json.

    `measured` is the `measurement` of the rows that the figures are made of, if they are older.
    """
    figures = [replace(f, low=bound(f.low), high=bound(f.high)) for f in figures]
    for f in figures:
        interval = f" [{f.low:.4g}, {f.high:.4g}]" if f.low is not None else ""
        bar = "" if f.bar is None else f"   bar {f.bar:g}: {'holds' if f.holds else 'MISSED'}"
        print(f"{f.name:<74} {f.value:9.4g}{interval:<20} {f.unit}{bar}")
    rows = [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(f).items()}
        for f in figures
    ]
    report = (measured or measurement(seed)) | {"figures": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n"
    )

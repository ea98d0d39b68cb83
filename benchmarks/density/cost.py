"""python -m benchmarks.density.cost: time and memory of fitting and scoring a density.

Needs Linux, whose /proc reports a process's peak memory.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.figures import Figure, at_most, publish
from creativelib.density import GaussianDensity
from creativelib.seeds import seeded


def speed_figures() -> list[Figure]:
    """Time log_prob and score of a million embeddings of width 64.

    scikit-learn, for comparison, computes log-probabilities alone.
    """
    from sklearn.mixture import GaussianMixture

    generator = seeded(0)
    fit = torch.randn(20_000, 64, generator=generator) * torch.linspace(2, 0.2, 64)
    z = (torch.randn(1_000_000, 64, generator=generator) * torch.linspace(2, 0.2, 64)).double()
    density = GaussianDensity.fit(fit, pca=1.0)
    other = GaussianMixture(1, covariance_type="full").fit(fit.double().numpy())

    def score_ours() -> None:
        for part in z.split(50_000):
            density.log_prob(part)
            density.score(part)

    def score_theirs() -> None:
        other.score_samples(z.numpy())

    ours = min(_seconds(score_ours) for _ in range(3))
    theirs = min(_seconds(score_theirs) for _ in range(3))
    return [
        Figure(
            "log_prob and score of 1 M x 64, time / scikit-learn's score_samples alone",
            ours / theirs,
            "times",
        ),
        Figure("log_prob and score of 1 M x 64", ours, "s"),
    ]


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def stream() -> Iterator[Tensor]:
    """Yield ten million embeddings of width 64, never all at once."""
    generator = seeded(0)
    for _ in range(100):
        yield torch.randn(100_000, 64, generator=generator)


def stream_figures() -> list[Figure]:
    """Fit 10 M x 64 in a process of its own, and measure its memory."""
    started = time.perf_counter()
    # VmHWM is the kernel's peak of this process alone; that of getrusage would start at the
    # parent's memory.
    code = (
        "import itertools, re\n"
        "from benchmarks.density.cost import stream\n"
        "from creativelib.density import GaussianDensity\n"
        "d = GaussianDensity.fit_stream(stream(), itertools.islice(stream(), 10), pca=1.0)\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "print(int(peak) / 2**20, float(d.subspace.variances.mean()))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    memory, variance = map(float, out.stdout.split())
    assert abs(variance - 1) < 1e-3
    return [
        at_most("streaming fit of 10 M x 64: memory", memory, unit="GiB", bar=1),
        Figure("streaming fit of 10 M x 64: time", time.perf_counter() - started, "s"),
    ]


if __name__ == "__main__":
    publish("density_cost", speed_figures() + stream_figures(), 0)

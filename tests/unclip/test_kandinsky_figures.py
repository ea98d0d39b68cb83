"""The benchmark at Kandinsky's size, tried on networks of a few thousand weights."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


TINY = os.environ | {"CREATIVELIB_TINY": "1", "OMP_NUM_THREADS": "1"}
PARTS = ("step", "rate", "prior", "density")
# What a process does whose networks are tiny from the start: all parts, then steps of the released
# code from the same start with the same noise.
CODE = """
import torch
from benchmarks.unclip import kandinsky
from benchmarks.unclip.released import released_step

kandinsky.main()
print("---")
parts = kandinsky.released_parts(kandinsky.random_pipe(torch.float32))
for how in ({}, {"cached": True}, {"cached": True, "one_vector": True}):
    step = released_step(parts, **how)
    torch.manual_seed(0)
    print(*(f"{step():.6f}" for _ in range(4)))
"""


@pytest.fixture(scope="module")
def printed():
    """Run both in one process and return the lines of each."""
    before = {file: file.read_bytes() for file in RESULTS.glob("kandinsky-*")}
    run = subprocess.run(
        [sys.executable, "-c", CODE, *PARTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=TINY,
    )
    assert {file: file.read_bytes() for file in RESULTS.glob("kandinsky-*")} == before
    figures, steps = run.stdout.split("---\n")
    return figures.splitlines(), steps.splitlines()


def test_every_part_runs(printed):
    found = {
        name: float(value.split()[0])
        for name, value in (line.rsplit(": ", 1) for line in printed[0])
    }
    assert all(math.isfinite(value) for value in found.values())
    some_of_each = {
        "milliseconds a concept and step: released",
        "share of the matrix rate, 16 concepts x 2 samples",
        "64 image embeddings in 5 steps",
        "largest difference to scikit-learn's log-density in float64",
    }
    assert some_of_each <= set(found)
    assert found["largest difference to scikit-learn's log-density in float64"] < 1e-6


def test_the_released_step_is_the_same_with_its_constraints_encoded_once(printed):
    """Steps have the same start and the same noise.

    So the cache holds what was encoded, and the whole table moves as one row does.
    """
    plain, cached, single = ([float(value) for value in line.split()] for line in printed[1])
    assert plain == pytest.approx(cached, abs=2e-6) and len(set(plain)) > 1
    # The empty text is pooled elsewhere.
    assert plain == pytest.approx(single, abs=0.02)

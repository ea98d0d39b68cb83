"""The benchmark at Kandinsky's size, tried on networks of a few thousand weights."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize(("part", "some"), [
    ("step", "milliseconds a concept and step: released"), ("rate", "share of the matrix rate, 16 concepts x 2 samples"),
    ("prior", "64 image embeddings in 5 steps"), ("density", "largest difference to scikit-learn's log-density in float64")])
def test_every_part_runs(part, some):
    before = {file: file.read_bytes() for file in (FOLDER / "results").glob("kandinsky-*")}
    run = subprocess.run([sys.executable, "kandinsky.py", part], cwd=FOLDER, capture_output=True, text=True, check=True,
                         env=os.environ | {"CREATIVELIB_TINY": "1", "OMP_NUM_THREADS": "1"})
    found = {name: float(value.split()[0]) for name, value in (line.rsplit(": ", 1) for line in run.stdout.splitlines())}
    assert all(math.isfinite(value) for value in found.values()) and some in found
    assert {file: file.read_bytes() for file in (FOLDER / "results").glob("kandinsky-*")} == before
    if part == "density":
        assert found[some] < 1e-6

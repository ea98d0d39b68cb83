"""The whole generator: CLIP and the autoencoder side by side, then the prior and the decoder.

    python -m creativelib.training stack --minutes 8

Each model is a process of its own, so that one's compilation hides behind another's steps. `minutes` is what all of
them may take together; the decoder gets most of it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence

from . import export, finish
from .loop import Run

FIRST = 0.27  # share of the minutes for CLIP and the autoencoder
PRIOR = 0.10  # for the prior


def start(stage: str, run: Run, minutes: float | None, after: Sequence[str] = ()) -> subprocess.Popen:
    """A stage as a process."""
    command = [sys.executable, "-m", "creativelib.training", stage, "--device", str(run.device)]
    command += ["--minutes", str(minutes)] if minutes else []
    command += ["--after", *after] if after else []
    return subprocess.Popen(command)


def wait(stages: dict[str, subprocess.Popen]) -> None:
    """Raises RuntimeError naming the first stage that fails, and ends the others."""
    try:
        while stages:
            for name, process in list(stages.items()):
                if process.poll():
                    raise RuntimeError(f"{name} failed; what it wrote last is above. Run the stack again to go on")
                if process.poll() == 0:
                    del stages[name]
            time.sleep(0.2)
    finally:
        for process in stages.values():
            process.terminate()


def main(run: Run) -> dict:
    for name in ("clip", "vqmodel"):
        export.told(name).unlink(missing_ok=True)
    first = run.part(FIRST)
    stages = {name: start(name, run, first) for name in ("clip", "vqmodel")}
    stages["prior"] = start("prior", run, run.part(PRIOR), ("clip",))
    stages["decoder"] = start("decoder", run, run.part(1 - FIRST), ("clip", "vqmodel"))
    wait(stages)
    finish.main(run)
    return json.loads((export.FOLDER / "training.json").read_text())

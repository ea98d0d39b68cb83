"""The whole generator: CLIP and the autoencoder side by side, then the prior and the decoder.

    python -m creativelib.training stack --minutes 8

The prior and the decoder start as soon as the weights that they need are ready. Each model is a
process of its own, so one model's compilation overlaps with another's steps. `minutes` bounds each
of the two rounds: CLIP and the autoencoder, then the prior and the decoder. A model that has used
its minutes is not trained again, so the rounds can run on different days. On a GPU further
processes draw pictures ahead, since drawing keeps a processor busy there and not the GPU.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context

from ..fitting.loop import Run
from . import export, finish
from .stream import MAIN, draw_ahead

PRIOR = 0.3  # share of the minutes for the prior, which is small
PAINTERS = 4  # processes that draw pictures ahead on a GPU


def start(
    stage: str, run: Run, minutes: float | None, after: Sequence[str] = ()
) -> subprocess.Popen:
    """Start a stage as a process."""
    command = [sys.executable, "-m", "creativelib.training", stage, "--device", str(run.device)]
    command += ["--minutes", str(minutes)] if minutes else []
    command += ["--after", *after] if after else []
    return subprocess.Popen(command)


def wait(stages: dict[str, subprocess.Popen]) -> None:
    """Wait for all stages.

    Ends the others and raises RuntimeError if a stage fails, naming it.
    """
    try:
        while stages:
            for name, process in list(stages.items()):
                if process.poll():
                    raise RuntimeError(
                        f"{name} failed; its last output is above. Run the stack again to resume"
                    )
                if process.poll() == 0:
                    del stages[name]
            time.sleep(0.2)
    finally:
        for process in stages.values():
            process.terminate()


def main(run: Run) -> dict:
    """Train the stack and return the facts of all of its models."""
    for name in ("clip", "vqmodel"):
        export.ready_file(name).unlink(missing_ok=True)
    painters = PAINTERS if run.device.type == "cuda" else 0
    for part in range(painters):
        painter = get_context("spawn").Process(
            target=draw_ahead, args=(MAIN, part, painters, run.device), daemon=True
        )
        painter.start()
    stages = {name: start(name, run, run.minutes) for name in ("clip", "vqmodel")}
    stages["prior"] = start("prior", run=run, minutes=run.part(PRIOR), after=("clip",))
    stages["decoder"] = start("decoder", run=run, minutes=run.minutes, after=("clip", "vqmodel"))
    wait(stages)
    finish.main(run)
    return json.loads((export.FOLDER / "training.json").read_text(encoding="utf-8"))

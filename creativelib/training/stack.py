"""The whole generator: CLIP and the autoencoder side by side, then the prior and the decoder, as soon as they can.

    python -m creativelib.training stack --minutes 8

Each model is a process of its own, so that one's compilation hides behind another's steps. `minutes` bounds each of
the two rounds: CLIP and the autoencoder, then the prior and the decoder. A model that has had its minutes is not
trained again, so the rounds can be made on different days. On a GPU further processes draw pictures ahead: drawing keeps a
processor busy there, not the GPU.
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
                    raise RuntimeError(
                        f"{name} failed; what it wrote last is above. Run the stack again to go on"
                    )
                if process.poll() == 0:
                    del stages[name]
            time.sleep(0.2)
    finally:
        for process in stages.values():
            process.terminate()


def main(run: Run) -> dict:
    for name in ("clip", "vqmodel"):
        export.told(name).unlink(missing_ok=True)
    painters = PAINTERS if run.device.type == "cuda" else 0
    for part in range(painters):
        get_context("spawn").Process(
            target=draw_ahead, args=(MAIN, part, painters, run.device), daemon=True
        ).start()
    stages = {name: start(name, run, run.minutes) for name in ("clip", "vqmodel")}
    stages["prior"] = start("prior", run, run.part(PRIOR), ("clip",))
    stages["decoder"] = start("decoder", run, run.minutes, ("clip", "vqmodel"))
    wait(stages)
    finish.main(run)
    return json.loads((export.FOLDER / "training.json").read_text())

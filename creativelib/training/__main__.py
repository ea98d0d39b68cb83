"""python -m creativelib.training STAGE [STAGE ...]: train the bundled models.

A stage trains one model. The stage `stack` trains the four models of the generator: one after the
other where one needs another's weights, otherwise side by side. Every stage resumes where it was
interrupted; `--minutes` bounds its time.
"""

import argparse
import importlib

import torch

from ..errors import InputError, above, whole
from ..fitting.loop import Run
from ..fitting.precision import configure_process
from ..models.networks import usable_device

STAGES = (
    "stack",
    "clip",
    "vqmodel",
    "prior",
    "decoder",
    "finish",
    "oracle-residual",
    "oracle-mix",
    "oracle",
    "autoregressive",
    "dino",
    "semantica",
    "judge",
    "vqa",
    "unaided",
    "variants",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m creativelib.training", description=__doc__)
    parser.add_argument("stage", nargs="+", choices=STAGES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--minutes",
        type=float,
        help="end each stage after this time, with its learning rate lowered",
    )
    parser.add_argument(
        "--after",
        nargs="+",
        default=(),
        choices=("clip", "vqmodel"),
        help="wait for the weights of these stages",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    try:
        if options.minutes is not None:
            above("minutes", options.minutes, 0)
        torch.set_num_threads(whole("threads", options.threads, 1))
        device = usable_device(options.device)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    configure_process()
    run = Run(device, options.minutes, after=tuple(options.after))
    for stage in options.stage:
        name, _, part = stage.partition("-")
        module = importlib.import_module(f"creativelib.training.{name}")
        print(module.first_stage(part, run) if part else module.main(run))


if __name__ == "__main__":
    main()

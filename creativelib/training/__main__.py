"""python -m creativelib.training NAME [NAME ...]: train the bundled models, in the order below, from nothing.

`unaided` and `variants` come last and are not bundled.
"""

import argparse
import importlib

import torch

NAMES = ("data", "clip", "vqmodel", "prior", "decoder", "autoregressive", "dino", "semantica", "finish", "oracle", "judge", "vqa",
         "unaided", "variants")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m creativelib.training", description=__doc__)
    parser.add_argument("name", nargs="+", choices=NAMES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.name:
        module = importlib.import_module(f"creativelib.training.{name}")
        print(module.main())


if __name__ == "__main__":
    main()

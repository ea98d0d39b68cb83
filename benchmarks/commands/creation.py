"""python -m benchmarks.commands.creation: `creativelib create` over all categories and seeds.

Also measures its time and memory from a cold start. Reports of single runs are kept in
out/benchmark-create, by model, settings, category and seed: an interrupted run resumes where it
stopped, and `--only` lets several processes share the work. Delete them after a change of the code.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm

from benchmarks.figures import Figure, at_least, at_most, publish, share
from creativelib.commands.creation import create
from creativelib.english import article
from creativelib.models.location import locate
from creativelib.steering.settings import STEER_DEFAULTS
from creativelib.world import CATEGORIES


def cold_start(prompt: str) -> tuple[float, float]:
    """Measure seconds and GiB of the command in a process of its own, with an empty cache.

    Needs Linux, where the memory of ended processes is counted in KiB.
    """
    import resource

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        program = Path(sys.executable).with_name("creativelib")
        command = [
            program,
            "create",
            prompt,
            "--out",
            f"{folder}/out",
            "--seed",
            "0",
            "--count",
            "16",
        ]
        subprocess.run(
            command,
            check=True,
            env=os.environ | {"CREATIVELIB_CACHE": folder},
            stderr=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - started
        assert (Path(folder) / "out" / "gallery.png").exists()
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def report(category: str, seed: int, count: int) -> dict:
    """Return the report of one run, from disk if these weights and settings made it before."""
    setup = f"{locate('menagerie').fingerprint} {STEER_DEFAULTS}"
    key = hashlib.sha256(setup.encode()).hexdigest()[:12]
    folder = Path("out/benchmark-create") / f"{key}-{category.replace(' ', '-')}-{seed}-{count}"
    if not (folder / "report.json").exists():
        create(f"a photo of {article(category)}", folder, seed=seed, count=count)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="CATEGORY",
        help="run these categories and publish nothing",
    )
    options = parser.parse_args()
    if options.only:
        for name in options.only:
            for seed in range(options.seeds):
                report(name, seed, options.count)
        return
    seconds, memory = cold_start("a photo of a pet")
    figures = [
        at_most("cold start, 16 pictures, no cache: time", seconds, "s", 45),
        at_most("cold start, 16 pictures, no cache: memory", memory, "GiB", 3),
    ]
    bar = tqdm(total=len(CATEGORIES) * options.seeds, desc="create")
    for category in CATEGORIES:
        rows = []
        tail = 0.0
        for seed in range(options.seeds):
            result = report(category.name, seed, options.count)
            rows += result["pictures"]
            tail = result["density"]["percentile_99"]
            bar.update()
        for kind in ("typical", "creative"):
            part = [row for row in rows if row["kind"] == kind]
            surprisal = torch.tensor([row["surprisal"] for row in part]).median().item()
            valid, i1 = share(torch.tensor([row["valid"] for row in part]))
            novel, i2 = share(torch.tensor([row["novel_in_form"] for row in part]))
            both, i3 = share(torch.tensor([row["valid"] and row["novel_in_form"] for row in part]))
            if kind == "creative":
                figures += [
                    at_least(
                        f"{category.name}: creative, median surprisal / baseline's 99th percentile",
                        surprisal / tail,
                        "",
                        1,
                    ),
                    at_least(f"{category.name}: creative, valid", valid, "%", 70, i1),
                    at_least(f"{category.name}: creative, novel in form", novel, "%", 40, i2),
                    Figure(
                        f"{category.name}: creative, valid and novel in form",
                        both,
                        "%",
                        low=i3[0],
                        high=i3[1],
                    ),
                ]
            else:
                figures += [
                    Figure(
                        f"{category.name}: typical, median surprisal / baseline's 99th percentile",
                        surprisal / tail,
                        "",
                    ),
                    Figure(f"{category.name}: typical, valid", valid, "%", low=i1[0], high=i1[1]),
                    Figure(
                        f"{category.name}: typical, novel in form",
                        novel,
                        "%",
                        low=i2[0],
                        high=i2[1],
                    ),
                ]
    publish("create", figures, 0)


if __name__ == "__main__":
    main()

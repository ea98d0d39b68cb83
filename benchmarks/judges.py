"""What benchmarks of pictures share: everything that judges, loaded once, and a runner of parts that keeps what it found."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.figures import Figure, publish
from creativelib.density import Density
from creativelib.english import article
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa
from creativelib.world import CATEGORIES
from creativelib.world.oracle import Oracle

Found = dict[str, dict[str, Any]]


class Judges:
    """Everything that judges, loaded once."""

    def __init__(self) -> None:
        self.pipe: Pipeline = load("menagerie", device="cpu")
        self.oracle = Oracle.load()
        self.judge = Judge.load()
        self.vqa = BlipVqa.load()
        self.prompts = [f"a photo of {article(c.name)}" for c in CATEGORIES]

    def measure(
        self,
        category: str,
        z: Float[Tensor, "g n d"],
        pictures: Float[Tensor, "g n 3 h w"],
        density: Density,
    ) -> dict[str, Any]:
        """Rows of g groups, the concepts or runs that pictures belong to: one list for each group."""
        index = [c.name for c in CATEGORIES].index(category)
        flat = pictures.flatten(0, 1)
        found = self.oracle.judge(flat, category)
        shape = pictures.shape[:2]
        count = sum(f.structural for f in CATEGORIES[index].factors)
        sure, value = found.reading.factors[:, : len(CATEGORIES[index].factors)].max(2)
        columns = {
            "surprisal": density.surprisal(z).flatten(),
            "valid": found.valid.float(),
            "form": found.novel_in_form.float(),
            "surface": found.novel_in_surface.float(),
            "log_prob": found.log_prob,
            "decided": sure.mean(1),
            "judge": (self.judge.classify(flat, self.prompts) == index).float(),
            "both": (found.valid & found.novel_in_form).float(),
        }
        rows = {name: column.view(shape).tolist() for name, column in columns.items()}
        return rows | {
            "combination": value[:, :count].view(*shape, -1).tolist(),
            "seen": self.judge.encode_images(flat).tolist(),
        }


def named(category: str) -> tuple[str, str]:
    prompt = f"a photo of {article(category)}"
    return prompt, prompt.replace(category, "{}")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decode(pipe: Pipeline, z: Float[Tensor, "g n d"], seed: int) -> Float[Tensor, "g n 3 h w"]:
    return pipe.decode(z, generator=seeded(seed))


def run(
    doc: str,
    name: str,
    parts: dict[str, Callable[[Judges, str], dict[str, Any]]],
    figures: dict[str, Callable[[Found], list[Figure]]],
    categories: Sequence[str],
) -> None:
    """Make the parts asked for on the command line, category by category, and publish each as results/NAME-PART.json.

    What a part finds for a category is kept in out/benchmark-NAME by model, part and category, so that a run cut off goes on where it
    stopped and `--only` lets several processes share the work. After a change of the code, delete them.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all by default"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="CATEGORY",
        help="make the runs of these categories and publish nothing",
    )
    o = parser.parse_args()
    if unknown := set(o.parts) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; expected {', '.join(parts)}")
    lab = Judges()
    for part in o.parts or parts:
        found = {}
        for category in o.only or categories:
            kept = (
                Path("out")
                / f"benchmark-{name}"
                / f"{lab.pipe.fingerprint[:12]}-{part}-{category.replace(' ', '-')}.json"
            )
            if not kept.exists():
                with torch.no_grad():
                    made = parts[part](lab, category)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(made))
                print(f"{part}, {category}: done", flush=True)
            found[category] = json.loads(kept.read_text())
        if not o.only:
            publish(f"{name}-{part}", figures[part](found), 0)

"""Shared parts of the benchmarks of pictures: all judges, and a runner that keeps its results."""

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
from creativelib.seeds import seeded
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa
from creativelib.world import CATEGORIES
from creativelib.world.oracle import Oracle

Found = dict[str, dict[str, Any]]


class Judges:
    """The pipeline and all models that judge its pictures, loaded once."""

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
        """Measure pictures of g groups, which are concepts or runs; return one list per group.

        `z` are the embeddings that the pictures were decoded from.
        """
        index = [c.name for c in CATEGORIES].index(category)
        flat = pictures.flatten(0, 1)
        found = self.oracle.judge(flat, category)
        shape = pictures.shape[:2]
        factors = CATEGORIES[index].factors
        structural = sum(factor.structural for factor in factors)
        confidence, value = found.reading.factors[:, : len(factors)].max(2)
        columns = {
            "surprisal": density.surprisal(z).flatten(),
            "valid": found.valid.float(),
            "form": found.novel_in_form.float(),
            "surface": found.novel_in_surface.float(),
            "log_prob": found.log_prob,
            "decided": confidence.mean(1),
            "judge": (self.judge.classify(flat, self.prompts) == index).float(),
            "both": (found.valid & found.novel_in_form).float(),
        }
        rows = {name: column.view(shape).tolist() for name, column in columns.items()}
        return rows | {
            "combination": value[:, :structural].view(*shape, -1).tolist(),
            "seen": self.judge.encode_images(flat).tolist(),
        }


def named(category: str) -> tuple[str, str]:
    """Return a category's prompt, and its template with {} in the category's place."""
    prompt = f"a photo of {article(category)}"
    return prompt, prompt.replace(category, "{}")


def decode(pipe: Pipeline, z: Float[Tensor, "g n d"], seed: int) -> Float[Tensor, "g n 3 h w"]:
    return pipe.decode(z, generator=seeded(seed))


def run(
    doc: str,
    name: str,
    parts: dict[str, Callable[[Judges, str], dict[str, Any]]],
    figures: dict[str, Callable[[Found], list[Figure]]],
    categories: Sequence[str],
) -> None:
    """Run the parts named on the command line and publish each as results/NAME-PART.json.

    Results are kept in out/benchmark-NAME by model, part and category, so that an interrupted run
    resumes where it stopped, and `--only` lets several processes share the work. Delete them after
    a change of the code.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all by default"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="CATEGORY",
        help="run these categories and publish nothing",
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; expected {', '.join(parts)}")
    judges = Judges()
    folder = Path("out") / f"benchmark-{name}"
    model = judges.pipe.fingerprint[:12]
    for part in options.parts or parts:
        found = {}
        for category in options.only or categories:
            file = folder / f"{model}-{part}-{category.replace(' ', '-')}.json"
            if not file.exists():
                with torch.no_grad():
                    result = parts[part](judges, category)
                folder.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(result), encoding="utf-8", newline="\n")
                print(f"{part}, {category}: done", flush=True)
            found[category] = json.loads(file.read_text(encoding="utf-8"))
        if not options.only:
            publish(f"{name}-{part}", figures[part](found), 0)

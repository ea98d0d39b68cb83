"""All methods by all metrics and by the truth: 8 categories x 5 seeds x 16 pictures of each (chapters 09 and 10).

    python -m benchmarks.evaluation.table --share 0 2          # every second category and seed; and --share 1 2 in a process beside it
    python -m benchmarks.evaluation.table                      # publish what the shares made, or make it all and publish

A run is four concepts of four pictures for what learns concepts, else 16 pictures. Its seconds are those of all that is done for it alone,
learning included, but not of what belongs to the category, such as the density of what is usual. Rows are kept in
out/benchmark-evaluation; after a change of the code, delete them.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from benchmarks.conceptlab.runs import pairs
from benchmarks.evaluation.summaries import publish_all
from benchmarks.judges import Judges, seeded
from creativelib.concept import Concept
from creativelib.conceptlab.learning import LearnResult, learn_concept
from creativelib.conceptlab.settings import LEARN_DEFAULTS as ADAPTIVE
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.settling import settle
from creativelib.evaluation.baselines import (
    Samples,
    adaptive_negatives,
    negative_prompt,
    photo,
    prompt_only,
    random_mix,
    random_parts,
)
from creativelib.evaluation.protocol import Cell, Protocol, read_rows, run_protocol
from creativelib.evaluation.scores import Reference, score
from creativelib.steering.guidance import split_prior
from creativelib.steering.pullback import draw_rare
from creativelib.steering.recipe import steer
from creativelib.steering.settings import STEER_DEFAULTS
from creativelib.steering.target import fit_baseline, rarity_target
from creativelib.world import CATEGORIES, category
from creativelib.world.oracle import Oracle

KEPT = Path("out") / "benchmark-evaluation"
CONCEPTS = STEER_DEFAULTS.concepts
TEMPLATE = "a photo of a {}"
MILD = (
    2.0  # guidance of adaptive negative prompts: with negative prompts' 4 hardly a picture is valid
)
ADAPTIVE_STEPS = 240  # of the default's 600, or learning would take most of all the time


def pair(word: str, seed: int) -> list[str]:
    """Two manual negatives, as in ConceptLab's protocol: one of three pairs of species."""
    return list(pairs(word)[seed % 3])


@dataclass(frozen=True, eq=False)
class Learned:
    """What ConceptLab learned and how long it took; the same for the two ways in which it is drawn."""

    result: LearnResult
    seconds: float


class Studio(Judges):
    """Everything that makes and judges, loaded once."""

    def __init__(self) -> None:
        super().__init__()
        self.second = Oracle.load("mix")
        self.density = cache(lambda word: fit_baseline(self.pipe, photo(word)))
        self.reference = cache(lambda word: Reference.of(self.pipe, self.judge, word))
        self.adaptive = cache(self._adaptive)

    def _adaptive(self, word: str, seed: int) -> Learned:
        clock = time.monotonic()
        config = replace(ADAPTIVE, concepts=CONCEPTS, steps=ADAPTIVE_STEPS)
        return Learned(
            learn_concept(self.pipe, word, config=config, seed=100 * seed, vqa=self.vqa),
            time.monotonic() - clock,
        )

    def decoded(self, z: torch.Tensor, seed: int) -> Samples:
        return Samples(z, self.pipe.decode(z[None], generator=seeded(seed))[0])

    def drawn(self, concept: Concept, n: int, seed: int) -> Samples:
        z = concept.sample(self.pipe, TEMPLATE, n // len(concept), noise=seeded(seed))
        return self.decoded(z.flatten(0, 1), seed + 1)

    def steered(self, word: str, n: int, seed: int) -> Samples:
        density = self.density(word)
        template = photo(word).replace(word, "{}")
        result = steer(self.pipe, word, density, STEER_DEFAULTS, seed, template, vqa=self.vqa)
        z = draw_rare(
            self.pipe,
            result.concept,
            density,
            result.target.surprisal,
            n // CONCEPTS,
            template,
            generator=seeded(seed),
        )
        return self.decoded(z.flatten(0, 1), seed + 1)

    def guided(self, word: str, n: int, seed: int) -> Samples:
        density = self.density(word)
        cond = self.pipe.encode_text([photo(word)])
        z = split_prior(
            self.pipe,
            cond,
            n,
            density,
            rarity_target(density, STEER_DEFAULTS.dial).surprisal,
            generator=seeded(seed),
        )
        return self.decoded(z[0], seed + 1)

    def against_two(self, word: str, n: int, seed: int) -> Samples:
        result = learn_concept(
            self.pipe, word, pair(word, seed), LearnConfig(concepts=CONCEPTS, steps=150), 100 * seed
        )
        return self.drawn(result.concept, n, seed)

    def settled(self, word: str, n: int, seed: int) -> Samples:
        learned = self.adaptive(word, seed).result
        return self.drawn(
            settle(self.pipe, word, learned.concept, learned.negatives, 100 * seed), n, seed
        )


METHODS: dict[str, Callable[[Studio, str, int, int], Samples]] = {
    "plain": lambda lab, word, n, seed: prompt_only(lab.pipe, word, n, generator=seeded(seed)),
    "guidance 4": lambda lab, word, n, seed: prompt_only(
        lab.pipe, word, n, generator=seeded(seed), guidance=4.0
    ),
    "temperature 2": lambda lab, word, n, seed: prompt_only(
        lab.pipe, word, n, generator=seeded(seed), temperature=2.0
    ),
    "negative prompt, prior": lambda lab, word, n, seed: negative_prompt(
        lab.pipe, word, pair(word, seed), n, generator=seeded(seed)
    ),
    "negative prompt, decoder": lambda lab, word, n, seed: negative_prompt(
        lab.pipe, word, pair(word, seed), n, generator=seeded(seed), on="decoder"
    ),
    "random parts": lambda lab, word, n, seed: random_parts(
        lab.pipe, word, n, generator=seeded(seed)
    ),
    "random mix": lambda lab, word, n, seed: random_mix(
        lab.pipe, list(category(word).species), n, generator=seeded(seed)
    ),
    "adaptive negative prompt": lambda lab, word, n, seed: adaptive_negatives(
        lab.pipe, lab.vqa, word, n, generator=seeded(seed), guidance=MILD
    ),
    "rarity guidance": Studio.guided,
    "rarity steering": Studio.steered,
    "ConceptLab, two negatives": Studio.against_two,
    "ConceptLab, adaptive": lambda lab, word, n, seed: lab.drawn(
        lab.adaptive(word, seed).result.concept, n, seed
    ),
    "ConceptLab, settled": Studio.settled,
}
FULL = Protocol(tuple(METHODS), tuple(c.name for c in CATEGORIES), seeds=5, pictures=16)


def make(lab: Studio, cell: Cell) -> dict[str, Any]:
    """The figures of one run, its seconds a picture, and what the judge sees in it, from which figures of larger sets are made."""
    word = cell.category
    learned = {}
    reference = lab.reference(word)  # belongs to no run, as the density does not
    lab.density(word)
    if cell.method in ("ConceptLab, adaptive", "ConceptLab, settled"):
        learned = {"learning": lab.adaptive(word, cell.seed).seconds}
    clock = time.monotonic()
    drawn = METHODS[cell.method](lab, word, cell.pictures, cell.seed)
    seconds = time.monotonic() - clock + sum(learned.values())
    figures = score(drawn, reference, lab.pipe, lab.judge, lab.oracle)
    seen = lab.judge.encode_images(drawn.pictures)
    second = lab.second.judge(drawn.pictures, word)
    both = (second.valid & second.novel_in_form).float().mean().item()
    return figures | {
        "second oracle: valid and novel": both,
        "seconds a picture": seconds / cell.pictures,
        "seen": [[round(v, 4) for v in row] for row in seen.tolist()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", nargs=2, type=int, metavar=("I", "N"))
    share = parser.parse_args().share
    made = read_rows(FULL, *KEPT.glob("rows*.jsonl"))
    if len(made) < len(FULL.cells()):
        mine, of = share or (0, 1)
        lab = Studio()
        with torch.no_grad():
            rows = run_protocol(
                FULL, lambda cell: make(lab, cell), KEPT / f"rows-{mine}-of-{of}.jsonl", (mine, of)
            )
            made = list(tqdm(rows, total=-(-len(FULL.cells()) // of)))
    if not share:
        publish_all(made)


if __name__ == "__main__":
    main()

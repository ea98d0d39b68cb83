"""What the pages of measurements hold: a page for each chapter, a section for each result."""

from collections.abc import Sequence
from dataclasses import dataclass

from layouts import (
    Layout,
    by_way,
    categories,
    chapters,
    correlations,
    density,
    listed,
    methods,
    seconds,
)
from measured_figures import FIGURE_11


@dataclass(frozen=True)
class Measurement:
    """A section of a page: the tables of one file of results."""

    # Name of the file in benchmarks/results, without its ending.
    name: str
    # Heading.
    title: str
    # The benchmark below benchmarks/, with its arguments.
    script: str
    layout: Layout


@dataclass(frozen=True)
class Page:
    """The measurements of one chapter."""

    # Name of the notebook, without its ending.
    chapter: str
    # What a reader has to know before the tables.
    words: str
    measurements: Sequence[Measurement]


def parts(script: str, names: str, titles: dict[str, str]) -> list[Measurement]:
    """List the measurements of a benchmark whose parts have files NAMES-PART."""
    return [
        Measurement(f"{names}-{part}", title, f"{script} {part}", by_way)
        for part, title in titles.items()
    ]


def kandinsky(part: str, title: str) -> Measurement:
    command = f"unclip/kandinsky.py {part.split('-')[0]}"
    return Measurement(f"kandinsky-{part}", title, command, listed)


PAGES = (
    Page(
        "00-a-first-look",
        "Where the seconds go with the bundled model was measured in turns with a commit from "
        "before the real models were added (*before*): nothing had been wasted there that could be "
        "saved.",
        [
            Measurement(
                "chapters",
                "How long each chapter's code runs on one core",
                "notebook/chapters.py",
                chapters,
            ),
            Measurement(
                "seconds",
                "Where the seconds go with the bundled model",
                "commands/seconds.py",
                seconds,
            ),
        ],
    ),
    Page(
        "02-clip-and-unclip",
        "",
        [
            *parts("unclip/generation.py", "unclip", {"priors": "Two priors, none, and guidance"}),
            Measurement(
                "unclip-inversion",
                "Pictures turned into embedding and noise, and back",
                "unclip/generation.py inversion",
                listed,
            ),
            *parts("unclip/generation.py", "unclip", {"edits": "Edits by differences of texts"}),
        ],
    ),
    Page(
        "03-density",
        "",
        [
            Measurement(
                "density", "Which density ranks the truth best", "density/recovery.py", density
            ),
            Measurement(
                "density-other-clip",
                "The same, with a CLIP that was told no factors",
                "density/recovery.py --clip",
                density,
            ),
            Measurement(
                "density-crowds",
                "Who is ranked: ordinary pictures, the world's, and wild ones",
                "density/crowds.py",
                listed,
            ),
            Measurement(
                "density-calibration",
                "How many new samples lie below the tail",
                "density/calibration.py",
                listed,
            ),
            Measurement("density_cost", "What a density costs", "density/cost.py", listed),
        ],
    ),
    Page(
        "04-rarity-steering",
        "",
        [
            *parts(
                "steering/runs.py",
                "steering",
                {
                    "main": "Steering, and what it starts from",
                    "guidance": "Guidance while sampling",
                },
            ),
            Measurement("steering-cost", "What guidance costs", "steering/runs.py cost", listed),
            *parts("steering/runs.py", "steering", {"batch": "Eight concepts at once"}),
        ],
    ),
    Page(
        "05-pullback-and-direction",
        "",
        parts(
            "steering/runs.py",
            "steering",
            {
                "dial": "The dial",
                "depth": "How deep to pull back",
                "ablation": "Pullbacks, by what is optimized",
                "rival": "The rival: random prompts that name parts",
            },
        ),
    ),
    Page(
        "06-prior-constraints",
        FIGURE_11,
        parts(
            "conceptlab/runs.py",
            "conceptlab",
            {
                "main": "ConceptLab with two manual negatives, and negative prompts",
                "weight": "ConceptLab's weight, with all species forbidden",
                "ablation": "Where ConceptLab's constraints compare, and what its loss is made of",
            },
        ),
    ),
    Page(
        "07-adaptive-negatives",
        "",
        parts(
            "conceptlab/runs.py", "conceptlab", {"adaptive": "ConceptLab with adaptive negatives"}
        ),
    ),
    Page(
        "08-mixing-evolution-styles",
        "",
        parts("conceptlab/runs.py", "conceptlab", {"mix": "Mixtures"}),
    ),
    Page(
        "09-metrics",
        "",
        [
            Measurement(
                "evaluation-correlation",
                "Which metric tracks the truth",
                "evaluation/table.py",
                correlations,
            ),
            Measurement(
                "goodhart-dial",
                "Rarity in the eyes of who steers and of others",
                "steering/goodhart.py",
                by_way,
            ),
        ],
    ),
    Page(
        "10-baselines",
        "The shares of truly valid and new pictures come first, then what a metric says in the "
        "judge's eyes, and last what it says in the eyes of the CLIP that methods are steered by. "
        "Intervals draw categories anew and runs within them; those of one category are of its "
        "five runs alone, and somewhat too narrow, since five are few. The intraclass correlation "
        "is the share of the variance between runs that lies between categories.",
        [
            Measurement(
                "evaluation-table",
                "Thirteen methods by every metric",
                "evaluation/table.py",
                methods,
            ),
            Measurement(
                "evaluation-categories",
                "Thirteen methods by category",
                "evaluation/table.py",
                categories,
            ),
            Measurement(
                "evaluation-differences",
                "More than random parts, by category",
                "evaluation/table.py",
                categories,
            ),
            Measurement(
                "evaluation-oracles",
                "Methods as the second oracle ranks them",
                "evaluation/table.py",
                by_way,
            ),
            Measurement(
                "evaluation-claims", "What the papers claim", "evaluation/table.py", listed
            ),
        ],
    ),
    Page(
        "12-semantica",
        "Of variations of a page's pictures, *shared factors kept* is the share of what the page "
        "shares that the oracle reads in them, and *entropy of free factors* is how much they vary "
        "in what it leaves free; as much as the page's own pictures is 100 %. *The best* draws "
        "from the exact posterior of what the page shares, given what is shown.",
        parts(
            "semantica/variations.py",
            "semantica",
            {
                "truth": "Variations: what they keep and what they vary",
                "fewshot": "Variations of one picture against the rest of its set",
                "metrics": "What metrics make of a copier, a blurrer and a mode-dropper",
                "variants": "Variations through other encoders, and of filtered pairs",
            },
        ),
    ),
    Page(
        "13-kandinsky",
        "What is measured at Kandinsky's size is time and memory, with networks of the real sizes "
        "and random weights; the tables on a GPU were measured on one H100. Steps of ConceptLab "
        "and the thousands of embeddings were measured before attention for short texts was "
        "switched on, the shares of the matrix rate, memory and the rest after it.",
        [
            kandinsky(part, title)
            for part, title in {
                "step-gpu": "A step of ConceptLab at Kandinsky 2.1's size, on a GPU",
                "step-cpu": "A step of ConceptLab on two CPU cores, with 6 of 20 layers",
                "rate-gpu": "Share of the GPU's matrix rate",
                "rate-cpu": "Share of the two cores' matrix rate",
                "memory-gpu": "Memory and seconds of whole stacks, on a GPU",
                "memory-cpu": "Weights of the real models",
                "precision-gpu": "Where runs of the bundled model end in 16 bits, on a GPU",
                "precision-cpu": "Where runs of the bundled model end in 16 bits, on a CPU",
                "prior-gpu": "Embeddings by the thousand, on a GPU",
                "prior-cpu": "A hundred embeddings on two cores, the prior cut to 6 layers",
                "density-gpu": "A density of ten million embeddings, on a GPU",
                "density-cpu": "A density of 200,000 embeddings, on two cores",
            }.items()
        ],
    ),
)

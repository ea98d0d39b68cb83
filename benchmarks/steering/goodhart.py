"""Measure what several judges say of rarity as steering gets stronger (chapter 09).

    python -m benchmarks.steering.goodhart [PART ...]

The judges are the CLIP that steers, another CLIP, and the truth. All rarities share one scale. For
each judge 0 is the median of typical pictures and 1 their 95th percentile; for the truth, typical
pictures are the world's own. Densities are fitted to other pictures than the percentiles are taken
from. Intervals draw categories anew and concepts within them.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.figures import Figure, bootstrap
from benchmarks.judges import Found, Judges, decode, named, run, seeded
from creativelib.density import Density, GaussianDensity
from creativelib.steering.pullback import draw_rare
from creativelib.steering.recipe import steer
from creativelib.steering.settings import STEER_DEFAULTS, SteerConfig
from creativelib.steering.target import fit_baseline
from creativelib.world import truth
from creativelib.world.scenes import sample_scenes

CATEGORIES = ("pet", "building", "vehicle")
DIALS = (0.5, 1.0, 2.0, 4.0)
EACH = 4  # pictures of a concept
# Typical pictures that densities are fitted to, and those that percentiles are taken from.
FITTED = 240
HELD_OUT = 120
# Quantiles of typical surprisals that are 0 and 1 on the scale of rarity.
TYPICAL = 0.5
RARE = 0.95
FREE = replace(STEER_DEFAULTS, anchor=0.0, pullback=0.0)
# Settings, and whether the semantic check is on.
VARIANTS: dict[str, tuple[SteerConfig, bool]] = {
    "all pullbacks": (STEER_DEFAULTS, True),
    "no pullback": (FREE, False),
    "the embedding itself": (replace(FREE, kind="embedding", samples=1), False),
}


@dataclass(frozen=True)
class Scale:
    """Surprisals in nats that are 0 and 1 on the scale of rarity."""

    zero: float
    one: float

    @classmethod
    def of(cls, surprisals: Float[Tensor, " n"]) -> "Scale":
        shares = torch.tensor([TYPICAL, RARE], dtype=torch.float64)
        zero, one = surprisals.double().quantile(shares).tolist()
        return cls(zero, one)

    def __call__(self, surprisals: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        return (surprisals.double() - self.zero) / (self.one - self.zero)


def fit_scale(typical: Float[Tensor, "n d"]) -> tuple[Density, Scale]:
    """Fit a density to embeddings of typical pictures, and its scale to those held out."""
    density = GaussianDensity.fit(typical[:FITTED], pca=STEER_DEFAULTS.pca)
    return density, Scale.of(density.surprisal(typical[FITTED:]))


def dial_part(judges: Judges, category: str) -> dict[str, Any]:
    """Measure rarity by each judge, validity and novelty for each variant and dial.

    Values are lists over concepts of lists over pictures.
    """
    pipe = judges.pipe
    prompt, template = named(category)
    density = fit_baseline(pipe, prompt)
    z = pipe.sample_prior(pipe.encode_text([prompt]), FITTED + HELD_OUT, noise=seeded(1))
    embedding_scale = Scale.of(density.surprisal(z[0]))
    pictures = decode(pipe, z, 2)[0]
    clip_density, clip_scale = fit_scale(pipe.encode_images(pictures))
    judge_density, judge_scale = fit_scale(judges.judge.encode_images(pictures))
    distribution = truth(category)
    scenes = sample_scenes(4000, seeded(3), category=category)
    factors = scenes.factors[:, : len(distribution.category.factors)]
    truth_scale = Scale.of(-distribution.log_prob(factors))
    found: dict[str, Any] = {}
    for variant, (config, checked) in VARIANTS.items():
        for dial in DIALS:
            config = replace(config, dial=dial)
            result = steer(
                pipe,
                category,
                density=density,
                config=config,
                seed=0,
                template=template,
                vqa=judges.vqa if checked else None,
            )
            z = draw_rare(
                pipe,
                result.concept,
                density=density,
                target=result.target.surprisal,
                n=EACH,
                template=template,
                generator=seeded(4),
                config=config,
            )
            x = decode(pipe, z, 5).flatten(0, 1)
            judgement = judges.oracle.judge(x, category)
            by_embedding = density.surprisal(z.flatten(0, 1))
            by_clip = clip_density.surprisal(pipe.encode_images(x))
            by_judge = judge_density.surprisal(judges.judge.encode_images(x))
            columns = {
                "CLIP, of the embedding": embedding_scale(by_embedding),
                "CLIP, of the picture": clip_scale(by_clip),
                "the judge": judge_scale(by_judge),
                "the truth": truth_scale(-judgement.log_prob),
                "valid": judgement.valid,
                "valid and novel in form": judgement.valid & judgement.novel_in_form,
            }
            found[f"{variant}, dial {dial:g}"] = {
                name: column.float().view(z.shape[:2]).tolist() for name, column in columns.items()
            }
    return found


def dial_figures(found: Found) -> list[Figure]:
    """Make a figure of each variant, dial and column: means of shares, medians of rarities."""
    figures = []
    for variant in next(iter(found.values())):
        rows = [part[variant] for part in found.values()]
        for name in rows[0]:
            is_share = name.startswith("valid")
            groups = torch.tensor([group for row in rows for group in row[name]])
            values = 100 * groups.mean(1) if is_share else groups.median(1).values
            categories = [i for i, row in enumerate(rows) for _ in row[name]]
            value, (low, high) = bootstrap(values, groups=categories)
            title = name if is_share else f"rarity, by {name}"
            unit = "%" if is_share else ""
            figures.append(Figure(f"{variant}: {title}", value, unit, low=low, high=high))
    return figures


if __name__ == "__main__":
    run(
        __doc__ or "",
        "goodhart",
        parts={"dial": dial_part},
        figures={"dial": dial_figures},
        categories=CATEGORIES,
    )

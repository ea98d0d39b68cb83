"""python -m benchmarks.steering.goodhart: as steering gets stronger, what the CLIP that steers says of it, and what others say (chapter 09).

All rarities are on one scale: 0 is the median of what is usually drawn, 1 its 95th percentile, in the eyes of whom it is about; for the
truth it is what the world draws. Densities are fitted to other pictures than percentiles are taken from. Intervals are bootstrapped over
concepts.
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
FITTED = 240
HELD = 120  # usual pictures, for the densities and for the percentiles
USUAL = 0.5
RARE = 0.95
FREE = replace(STEER_DEFAULTS, anchor=0.0, pullback=0.0)
WAYS: dict[str, tuple[SteerConfig, bool]] = {
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
        return cls(
            *surprisals.double().quantile(torch.tensor([USUAL, RARE], dtype=torch.float64)).tolist()
        )

    def __call__(self, surprisals: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        return (surprisals.double() - self.zero) / (self.one - self.zero)


def learned(usual: Float[Tensor, "n d"]) -> tuple[Density, Scale]:
    density = GaussianDensity.fit(usual[:FITTED], pca=STEER_DEFAULTS.pca)
    return density, Scale.of(density.surprisal(usual[FITTED:]))


def dial_part(lab: Judges, category: str) -> dict[str, Any]:
    """Rarity in the eyes of each, and what is valid and new, by way and dial: a list of pictures for each concept."""
    prompt, template = named(category)
    density = fit_baseline(lab.pipe, prompt)
    z = lab.pipe.sample_prior(lab.pipe.encode_text([prompt]), FITTED + HELD, noise=seeded(1))
    own = Scale.of(density.surprisal(z[0]))
    pictures = decode(lab.pipe, z, 2)[0]
    read, reads = learned(lab.pipe.encode_images(pictures))
    judged, judges = learned(lab.judge.encode_images(pictures))
    known = truth(category)
    world = Scale.of(
        -known.log_prob(
            sample_scenes(4000, seeded(3), category=category).factors[
                :, : len(known.category.factors)
            ]
        )
    )
    found: dict[str, Any] = {}
    for way, (config, checked) in WAYS.items():
        for dial in DIALS:
            config = replace(config, dial=dial)
            result = steer(
                lab.pipe, category, density, config, 0, template, vqa=lab.vqa if checked else None
            )
            z = draw_rare(
                lab.pipe,
                result.concept,
                density,
                result.target.surprisal,
                EACH,
                template,
                generator=seeded(4),
                config=config,
            )
            x = decode(lab.pipe, z, 5).flatten(0, 1)
            seen = lab.oracle.judge(x, category)
            columns = {
                "CLIP, of the embedding": own(density.surprisal(z.flatten(0, 1))),
                "CLIP, of the picture": reads(read.surprisal(lab.pipe.encode_images(x))),
                "the judge": judges(judged.surprisal(lab.judge.encode_images(x))),
                "the truth": world(-seen.log_prob),
                "valid": seen.valid,
                "valid and novel in form": seen.valid & seen.novel_in_form,
            }
            found[f"{way}, dial {dial:g}"] = {
                name: column.float().view(z.shape[:2]).tolist() for name, column in columns.items()
            }
    return found


def dial_figures(found: Found) -> list[Figure]:
    figures = []
    for way in next(iter(found.values())):
        rows = [part[way] for part in found.values()]
        for name in rows[0]:
            shares = name.startswith("valid")
            groups = torch.tensor([group for row in rows for group in row[name]])
            value, interval = bootstrap(100 * groups.mean(1) if shares else groups.median(1).values)
            title = name if shares else f"rarity, by {name}"
            figures.append(
                Figure(
                    f"{way}: {title}",
                    value,
                    "%" if shares else "",
                    low=interval[0],
                    high=interval[1],
                )
            )
    return figures


if __name__ == "__main__":
    run(__doc__ or "", "goodhart", {"dial": dial_part}, {"dial": dial_figures}, CATEGORIES)

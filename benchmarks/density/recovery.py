"""python -m benchmarks.density.recovery: which density ranks the truth best. Flows take most of its 75 minutes on one core.

Pictures of each category, with more wild ones than the truth has so that all degrees of rarity are there, are embedded by CLIP. Every
density fitted to an exposure gives each a log-probability, the world a true one; the figure is Spearman's correlation of the two, averaged
over categories. Exposures: what the prior makes of "a photo of a {category}", and a corpus of pictures as frequent as the truth says.
`--clip FOLDER` takes another CLIP's image encoder, such as one trained without the auxiliary loss; then there is no prior to draw from.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor
from tqdm.auto import tqdm
from transformers import CLIPVisionModelWithProjection

from benchmarks.figures import Figure, bootstrap, publish
from creativelib.density import Density, FlowDensity, GaussianDensity, MixtureDensity
from creativelib.english import article
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.scenes import Scenes, draw, sample_scenes

WILD = 0.4  # of the pictures to be ranked
RANKED = 600
SIZES = (200, 1000, 5000)
KINDS: dict[str, Callable[[Tensor], Density]] = {
    "Gaussian, PCA 95 %, residual": lambda z: GaussianDensity.fit(z),
    "Gaussian, PCA 95 %, no residual": lambda z: GaussianDensity.fit(z, residual=False),
    "Gaussian, no PCA": lambda z: GaussianDensity.fit(z, pca=1.0),
    "mixture, PCA 95 %, residual": lambda z: MixtureDensity.fit(z),
    "mixture, PCA 95 %, no residual": lambda z: MixtureDensity.fit(z, residual=False),
    "mixture, no PCA": lambda z: MixtureDensity.fit(z, pca=1.0),
    "flow, PCA 95 %, residual": lambda z: FlowDensity.fit(z),
    "flow, PCA 95 %, no residual": lambda z: FlowDensity.fit(z, residual=False),
    "flow, no PCA": lambda z: FlowDensity.fit(z, pca=1.0),
}


def photos(category: str, n: int, wild: float | None, seed: int) -> tuple[Scenes, Tensor]:
    """Scenes of a category as photos, and their pictures."""
    scenes = sample_scenes(n, torch.Generator().manual_seed(seed), wild, category)
    scenes.style[:] = torch.tensor(styles.index("photo"))
    return scenes, torch.cat([draw(scenes[slice(i, i + 200)]) for i in range(0, n, 200)])


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's."""
    result: Any = spearmanr(a.numpy(), b.numpy())
    return float(result.statistic)


def exposure(pipe: Pipeline, category: str, kind: str, n: int) -> Float[Tensor, "n d"]:
    if kind == "prior":
        cond = pipe.encode_text([f"a photo of {article(category)}"])
        return pipe.sample_prior(cond, n, noise=torch.Generator().manual_seed(0))[0]
    return pipe.encode_images(photos(category, n, None, 1)[1])


def ranking_figures(pipe: Pipeline, kinds: tuple[str, ...], categories: int) -> list[Figure]:
    """Spearman's correlation of estimated and true log-probability, for every estimator, exposure and size."""
    found: dict[str, list[float]] = {}
    for category in tqdm(CATEGORIES[:categories], desc="ranking"):
        scenes, pictures = photos(category.name, RANKED, WILD, 2)
        z = pipe.encode_images(pictures)
        true = truth(category.name).log_prob(scenes.factors[:, : len(category.factors)])
        for kind in kinds:
            seen = exposure(pipe, category.name, kind, max(SIZES))
            for size in SIZES:
                for name, fit in KINDS.items():
                    if "flow" in name and size < max(SIZES) and kind == "corpus":
                        continue  # the slowest to fit: its dependence on size is shown on one exposure
                    estimated = fit(seen[:size]).log_prob(z)
                    found.setdefault(f"{name}; {kind}, {size}", []).append(
                        rank_correlation(estimated, true)
                    )
    figures = []
    for name, values in found.items():
        mean, interval = bootstrap(torch.tensor(values))
        figures.append(
            Figure(f"rank correlation with the truth: {name}", mean, "", None, None, *interval)
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", type=int, default=len(CATEGORIES))
    parser.add_argument("--clip", type=Path, help="a folder with another CLIP's image encoder")
    o = parser.parse_args()
    pipe = load("menagerie", device="cpu")
    if not o.clip:
        publish("density", ranking_figures(pipe, ("prior", "corpus"), o.categories), 0)
        return
    encoder = (
        CLIPVisionModelWithProjection.from_pretrained(o.clip, dtype=torch.float32)
        .eval()
        .requires_grad_(False)
    )
    publish(
        "density-other-clip",
        ranking_figures(replace(pipe, image_encoder=encoder), ("corpus",), o.categories),
        0,
    )


if __name__ == "__main__":
    main()

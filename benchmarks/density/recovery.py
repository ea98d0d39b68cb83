"""python -m benchmarks.density.recovery: which density ranks the truth best.

It takes 75 minutes on one core, most of them for flows.

Pictures of each category are embedded by CLIP, with a larger share of wild ones than the truth has,
so that all degrees of rarity are present. Every density fitted to an exposure gives each picture a
log-probability, and the world gives the true one. The figure is Spearman's correlation of the two,
averaged over categories. The exposures are samples of the prior for "a photo of a {category}", and
a corpus of pictures with the frequencies of the truth. `--clip FOLDER` takes the image encoder of
another CLIP, such as one trained without the auxiliary loss; it has no prior to sample from.
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
from creativelib.seeds import seeded
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.scenes import Scenes, draw, sample_scenes

# Share of wild pictures among those to rank, and their number for each category.
WILD = 0.4
RANKED = 600
# Numbers of embeddings that a density is fitted to.
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
    """Draw scenes of a category as photos; return them and their pictures."""
    scenes = sample_scenes(n, seeded(seed), wild, category)
    scenes.style[:] = torch.tensor(styles.index("photo"))
    return scenes, torch.cat([draw(scenes[slice(i, i + 200)]) for i in range(0, n, 200)])


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Compute Spearman's rank correlation."""
    result: Any = spearmanr(a.numpy(), b.numpy())
    return float(result.statistic)


def exposure(pipe: Pipeline, category: str, kind: str, n: int) -> Float[Tensor, "n d"]:
    """Return n typical embeddings of a category, from the "prior" or from a "corpus"."""
    if kind == "prior":
        cond = pipe.encode_text([f"a photo of {article(category)}"])
        return pipe.sample_prior(cond, n, noise=seeded(0))[0]
    return pipe.encode_images(photos(category, n, wild=None, seed=1)[1])


def ranking_figures(pipe: Pipeline, kinds: tuple[str, ...], categories: int) -> list[Figure]:
    """Correlate estimated and true log-probability by rank.

    There is one figure for every density, exposure and size.
    """
    found: dict[str, list[float]] = {}
    for category in tqdm(CATEGORIES[:categories], desc="ranking"):
        scenes, pictures = photos(category.name, RANKED, wild=WILD, seed=2)
        z = pipe.encode_images(pictures)
        true = truth(category.name).log_prob(scenes.factors[:, : len(category.factors)])
        for kind in kinds:
            typical = exposure(pipe, category.name, kind=kind, n=max(SIZES))
            for size in SIZES:
                for name, fit in KINDS.items():
                    # Flows are the slowest to fit: one exposure shows how they depend on size.
                    if "flow" in name and size < max(SIZES) and kind == "corpus":
                        continue
                    estimated = fit(typical[:size]).log_prob(z)
                    correlation = rank_correlation(estimated, true)
                    found.setdefault(f"{name}; {kind}, {size}", []).append(correlation)
    figures = []
    for name, values in found.items():
        mean, (low, high) = bootstrap(torch.tensor(values))
        figures.append(
            Figure(
                name=f"rank correlation with the truth: {name}",
                value=mean,
                unit="",
                low=low,
                high=high,
            )
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", type=int, default=len(CATEGORIES))
    parser.add_argument("--clip", type=Path, help="a folder with another CLIP's image encoder")
    options = parser.parse_args()
    pipe = load("menagerie", device="cpu")
    if not options.clip:
        publish("density", ranking_figures(pipe, ("prior", "corpus"), options.categories), 0)
        return
    encoder = CLIPVisionModelWithProjection.from_pretrained(options.clip, dtype=torch.float32)
    encoder = encoder.eval().requires_grad_(False)
    pipe = replace(pipe, image_encoder=encoder)
    publish("density-other-clip", ranking_figures(pipe, ("corpus",), options.categories), 0)


if __name__ == "__main__":
    main()

"""python -m benchmarks.density.calibration: how many new samples lie below a density's tail.

For each category, 4,000 samples of the prior for "a photo of a {category}" are shuffled by a seed;
a density is fitted to the first n, and the others are counted that lie below its 99th percentile.
Likewise for the world's own pictures, with the frequencies of the truth, through CLIP's image
encoder. Beside each stands the share below the 99th percentile of the fitted samples' own
surprisals, which is what a density finds of what it has seen. The last figures are these two
tails in nats, for the density that steering fits by default.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from benchmarks.density.recovery import photos
from benchmarks.figures import Figure, at_least, at_most, bootstrap, publish
from creativelib.density import Density, GaussianDensity, MixtureDensity
from creativelib.english import article
from creativelib.seeds import seeded
from creativelib.steering.settings import STEER_DEFAULTS, TAIL
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.world import CATEGORIES

# Samples of each category, in equal parts, drawn with a seed each. The first part is what steering
# fits its density to.
PART = 2000
PARTS = 2
# Pictures of each category.
PICTURES = 800
# How many shuffles, by the number of samples that a density is fitted to.
SEEDS = {60: 6, 100: 6, 400: 4, 2000: 2}
# Percent of new samples that have to lie below the tail, at least and at most.
LEAST = 96.0
MOST = 99.9
# Fewest samples that have to keep these bars: below 99 the tail lies beyond all of them.
FEWEST = 100

Fit = Callable[[Tensor], Density]


def gaussian(z: Float[Tensor, "n d"]) -> Density:
    return GaussianDensity.fit(z, pca=STEER_DEFAULTS.pca)


def drawn(pipe: Pipeline, category: str) -> Float[Tensor, "n d"]:
    """Draw typical embeddings of a category."""
    cond = pipe.encode_text([f"a photo of {article(category)}"])
    with torch.no_grad():
        parts = [pipe.sample_prior(cond, PART, noise=seeded(seed))[0] for seed in range(PARTS)]
    return torch.cat(parts)


def pictured(pipe: Pipeline, category: str) -> Float[Tensor, "n d"]:
    """Embed pictures of a category, as frequent as the truth has them."""
    with torch.no_grad():
        return pipe.encode_images(photos(category, PICTURES, wild=None, seed=1)[1])


def below(density: Density, new: Float[Tensor, "m d"], fitted: Tensor) -> tuple[float, float]:
    """Return percents of new samples below the tail, and below that of the fitted ones' own."""
    surprisal = density.surprisal(new)
    own = density.surprisal(fitted).double().quantile(TAIL).item()
    tails = (density.quantile(TAIL), own)
    held, seen = [100 * (surprisal < tail).double().mean().item() for tail in tails]
    return held, seen


def share_figures(
    name: str, pools: dict[str, Tensor], fit: Fit, sizes: dict[int, int]
) -> list[Figure]:
    """Average the shares below both tails over shuffles, then over categories."""
    figures = []
    for n, seeds in sizes.items():
        rows = []
        for z in tqdm(pools.values(), desc=f"{name}, {n}"):
            found = []
            for seed in range(seeds):
                order = torch.randperm(len(z), generator=seeded(seed))
                fitted = z[order[:n]]
                found.append(below(fit(fitted), z[order[n:]], fitted))
            rows.append(torch.tensor(found).mean(0))
        shares = torch.stack(rows).T
        mean, interval = bootstrap(shares[0])
        title = f"below the tail of {n}: {name}"
        if n < FEWEST:
            figures.append(Figure(title, mean, "%", low=interval[0], high=interval[1]))
        else:
            figures.append(at_least(title, mean, "%", LEAST, interval))
            figures.append(at_most(f"{title}, at most", mean, "%", MOST, interval))
        mean, (low, high) = bootstrap(shares[1])
        figures.append(Figure(f"{title}, by its own samples", mean, "%", low=low, high=high))
    return figures


def tail_figures(pools: dict[str, Tensor]) -> list[Figure]:
    """State median and tail of what steering fits, and the tail by the fitted samples' own."""
    figures = []
    for category, z in pools.items():
        density = gaussian(z[:PART])
        own = density.surprisal(z[:PART]).double()
        found = {
            "median": density.quantile(0.5),
            "tail": density.quantile(TAIL),
            "median, by its own samples": own.quantile(0.5).item(),
            "tail, by its own samples": own.quantile(TAIL).item(),
        }
        figures += [Figure(f"{category}: {name}", nats, "nats") for name, nats in found.items()]
    return figures


def main() -> None:
    pipe = load("menagerie", device="cpu")
    names = [category.name for category in CATEGORIES]
    prior = {name: drawn(pipe, name) for name in tqdm(names, desc="prior")}
    world = {name: pictured(pipe, name) for name in tqdm(names, desc="pictures")}
    few = {n: seeds for n, seeds in SEEDS.items() if n <= PICTURES // 2}
    mixtures = {400: 1}
    figures = [
        *share_figures("Gaussian, prior", prior, gaussian, SEEDS),
        *share_figures("Gaussian, pictures", world, gaussian, few),
        *share_figures("mixture, prior", prior, MixtureDensity.fit, mixtures),
        *tail_figures(prior),
    ]
    publish("density-calibration", figures, 0)


if __name__ == "__main__":
    main()

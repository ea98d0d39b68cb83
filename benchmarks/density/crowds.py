"""python -m benchmarks.density.crowds: how well a density ranks pictures, by who is ranked.

For each category a Gaussian and a mixture are fitted to 2,000 samples of the prior for "a photo of
a {category}". Each ranks three crowds of 600 pictures: ordinary ones, pictures as the world mixes
them (3 % are wild), and pictures of which four in ten are wild. The figure is Spearman's
correlation with the true log-probability; intervals are over categories.
"""

import torch
from tqdm.auto import tqdm

from benchmarks.density.recovery import photos, rank_correlation
from benchmarks.figures import Figure, bootstrap, publish
from creativelib.density import GaussianDensity, MixtureDensity
from creativelib.english import article
from creativelib.seeds import seeded
from creativelib.unclip.pipeline import load
from creativelib.world import CATEGORIES, truth

SAMPLES = 2000
PICTURES = 600
# Shares of wild pictures; None is the world's own.
CROWDS = {"ordinary": 0.0, "as the world mixes": None, "four in ten wild": 0.4}
FITS = {"Gaussian": GaussianDensity.fit, "mixture": MixtureDensity.fit}


def main() -> None:
    pipe = load("menagerie", device="cpu")
    names = [category.name for category in CATEGORIES]
    found = {(crowd, fit): [] for crowd in CROWDS for fit in FITS}
    figures = []
    for name in tqdm(names):
        cond = pipe.encode_text([f"a photo of {article(name)}"])
        with torch.no_grad():
            z = pipe.sample_prior(cond, SAMPLES, noise=seeded(0))[0]
        densities = {fit: make(z) for fit, make in FITS.items()}
        for crowd, wild in CROWDS.items():
            scenes, pictures = photos(name, PICTURES, wild=wild, seed=2)
            with torch.no_grad():
                e = pipe.encode_images(pictures)
            count = len(truth(name).category.factors)
            true = truth(name).log_prob(scenes.factors[:, :count])
            for fit, density in densities.items():
                rho = rank_correlation(density.log_prob(e), true)
                found[crowd, fit].append(rho)
                figures.append(Figure(f"{name}: {fit}, {crowd}", rho, ""))
    for (crowd, fit), values in found.items():
        mean, (low, high) = bootstrap(torch.tensor(values))
        figures.append(Figure(f"all categories: {fit}, {crowd}", mean, "", low=low, high=high))
    for crowd in CROWDS:
        more = torch.tensor(found[crowd, "mixture"]) - torch.tensor(found[crowd, "Gaussian"])
        mean, (low, high) = bootstrap(more)
        name = f"mixture more than Gaussian, {crowd}"
        figures.append(Figure(name, mean, "", low=low, high=high))
    publish("density-crowds", figures, 0)


if __name__ == "__main__":
    main()

"""Measure unCLIP's parts: two priors, none, guidance; inversion; edits by differences of texts.

python -m benchmarks.unclip.generation [PART ...]

priors       what the priors draw, and what is drawn without one
inversion    how well a picture comes back
edits        what an edit changes, and what it leaves
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from benchmarks.figures import Figure, asked, at_least, bootstrap, publish, share
from creativelib.english import article
from creativelib.metrics.diversity import vendi
from creativelib.metrics.pixels import psnr
from creativelib.metrics.realism import frechet
from creativelib.seeds import seeded
from creativelib.unclip.autoregressive import AutoregressivePrior
from creativelib.unclip.latent import best_of_two, ddim_inversion, text_diff
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.unclip.prior import PriorSampling
from creativelib.vision.judge import Judge
from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.oracle import Oracle
from creativelib.world.scenes import Scenes, caption, draw, sample_scenes

EACH = 40  # pictures of a category
CAPTIONS = 512
PROMPTS = [f"a photo of {article(kind.name)}" for kind in CATEGORIES]
INVERTED = 96
EDITED = 10  # pictures of each category and kind of edit
THETAS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
# Chosen on other pictures than those measured.
THETA = {
    "species": {"texts": 0.45, "prior's means": 0.45},
    "color": {"texts": 0.3, "prior's means": 0.4},
    "style": {"texts": 0.25, "prior's means": 0.4},
}


def photos(name: str, n: int, seed: int) -> Float[Tensor, "n 3 h w"]:
    """Draw n of the world's own photos of a category."""
    scenes = sample_scenes(n, seeded(seed), category=name)
    scenes.style[:] = torch.tensor(styles.index("photo"))
    return draw(scenes)


# Embeddings for texts: (texts, n, seed) -> (k, n, d).
Draw = Callable[[list[str], int, int], Float[Tensor, "k n d"]]


def samplers(pipe: Pipeline, autoregressive: AutoregressivePrior) -> dict[str, tuple[Draw, float]]:
    """List how embeddings are drawn for texts, each with the decoder's guidance."""
    empty = pipe.sample_prior(pipe.encode_text([""]), 256, noise=seeded(0))
    length = empty[0].norm(dim=-1).mean()

    def diffusion(guidance: float = 1.0) -> Draw:
        return lambda texts, n, seed: pipe.sample_prior(
            pipe.encode_text(texts),
            n,
            noise=seeded(seed),
            sampling=PriorSampling(guidance=guidance),
        )

    def by_codes(guidance: float = 1.0) -> Draw:
        return lambda texts, n, seed: autoregressive.sample(
            pipe.encode_text(texts), n, generator=seeded(seed), guidance=guidance
        )

    def best(of: Draw) -> Draw:
        return lambda texts, n, seed: best_of_two(
            of(texts, 2 * n, seed), pipe.encode_text(texts).pooled
        )

    def text_itself(texts: list[str], n: int, seed: int) -> Tensor:
        z = normalize(pipe.encode_text(texts).pooled, dim=-1) * length
        return z[:, None].expand(-1, n, -1)

    return {
        "diffusion prior": (diffusion(), 2.0),
        "diffusion prior, better of two": (best(diffusion()), 2.0),
        "diffusion prior, guidance 3": (diffusion(3.0), 2.0),
        "autoregressive prior": (by_codes(), 2.0),
        "autoregressive prior, better of two": (best(by_codes()), 2.0),
        "autoregressive prior, guidance 3": (by_codes(3.0), 2.0),
        "no prior, the text's embedding": (text_itself, 2.0),
        "diffusion prior, decoder's guidance 1": (diffusion(), 1.0),
        "diffusion prior, decoder's guidance 4": (diffusion(), 4.0),
    }


def priors() -> list[Figure]:
    """Measure what each prior draws, in pictures and in embeddings."""
    pipe = load("menagerie", device="cpu")
    judge = Judge.load()
    oracle = Oracle.load()
    autoregressive = AutoregressivePrior.load()
    scenes = sample_scenes(CAPTIONS, seeded(801))
    texts = caption(scenes, random.Random(0), 0.03)
    embeddings = pipe.encode_images(draw(scenes))
    limit = pipe.tokenizer.model_max_length
    fits = [i for i, text in enumerate(texts) if len(pipe.tokenizer(text).input_ids) <= limit]
    texts = [texts[i] for i in fits]
    embeddings = embeddings[fits]
    # The world's photos: one half stands in for drawn pictures, the other is compared with.
    world = [judge.encode_images(photos(kind.name, 2 * EACH, 802)) for kind in CATEGORIES]
    real = [rows[EACH:] for rows in world]
    prompts = judge.encode_text(PROMPTS)
    figures = quality(
        "pictures of the world",
        [rows[:EACH] for rows in world],
        real=real,
        prompts=prompts,
    )
    for name, (sample, guidance) in samplers(pipe, autoregressive).items():
        clock = time.monotonic()
        z = sample(texts, 1, 0)[:, 0]
        seconds = time.monotonic() - clock
        drawn = pipe.decode(sample(PROMPTS, EACH, 1), generator=seeded(2), guidance=guidance)
        judged = [judge.encode_images(x) for x in drawn]
        valid = [
            oracle.judge(x, kind.name).valid for x, kind in zip(drawn, CATEGORIES, strict=True)
        ]
        figures += quality(name, judged, real=real, prompts=prompts)
        categories = [i for i, hits in enumerate(valid) for _ in hits]
        value, (low, high) = bootstrap(100 * torch.cat(valid).double(), groups=categories)
        figures.append(Figure(f"{name}: valid", value, "%", low=low, high=high))
        value, (low, high) = bootstrap(cosine_similarity(z, embeddings, dim=-1))
        title = f"{name}: cosine to the captioned picture's embedding"
        figures += [
            Figure(title, value, "", low=low, high=high),
            Figure(f"{name}: milliseconds an embedding", 1000 * seconds / len(texts), "ms"),
        ]
        print(f"{name}: done", flush=True)
    return figures


def quality(title: str, drawn: list[Tensor], real: list[Tensor], prompts: Tensor) -> list[Figure]:
    """Summarize the judge's embeddings of each category's pictures, averaged over categories."""
    table = torch.tensor(
        [
            [frechet(a, b), vendi(a), (a @ text).mean().item()]
            for a, b, text in zip(drawn, real, prompts, strict=True)
        ]
    )
    names = ("Frechet distance, judge", "Vendi score of 40", "judge's cosine to the prompt")
    figures = []
    for name, column in zip(names, table.T, strict=True):
        value, (low, high) = bootstrap(column)
        figures.append(Figure(f"{title}: {name}", value, "", low=low, high=high))
    return figures


def inversion() -> list[Figure]:
    """Measure how well pictures come back from their embedding and noise."""
    pipe = load("menagerie", device="cpu")
    pictures = draw(sample_scenes(INVERTED, seeded(803)))
    coded = pipe.render_latents(pipe.encode_latents(pictures))
    value, (low, high) = bootstrap(psnr(coded, pictures))
    figures = [Figure("the autoencoder alone: PSNR", value, "dB", low=low, high=high)]
    for rounds in (1, 2, 5):
        inverted = ddim_inversion(pipe, pictures, rounds=rounds)
        again = decode_inverted(pipe, inverted.z, inverted.noise)
        value, (low, high) = bootstrap(psnr(again, pictures))
        name = f"inverted with {rounds} rounds, and decoded: PSNR"
        if rounds == 5:
            figures.append(at_least(name, value, "dB", bar=24, interval=(low, high)))
        else:
            figures.append(Figure(name, value, "dB", low=low, high=high))
        deviation = inverted.noise.std().item()
        figures.append(
            Figure(f"inverted with {rounds} rounds: deviation of the noise", deviation, "")
        )
    return figures


def decode_inverted(
    pipe: Pipeline, z: Float[Tensor, "n d"], noise: Float[Tensor, "n m s t"]
) -> Float[Tensor, "n 3 h w"]:
    """Decode one picture of each embedding and its noise, without guidance."""
    drawn = pipe.decode(z[:, None], noise=noise[:, None], guidance=1.0, generator=seeded(0))
    return drawn[:, 0]


@dataclass(frozen=True)
class Edits:
    """n pictures, and what each becomes."""

    scenes: Scenes
    # Texts of the pictures before and after the edit.
    base: list[str]
    text: list[str]
    # The world's index of the species, color or style that is asked for.
    wanted: Tensor


def edits(kind: str, seed: int) -> Edits:
    """Choose photos of species of each category, and another species, color or style for each."""
    rng = random.Random(seed)
    scenes = []
    base = []
    text = []
    wanted = []
    for category in CATEGORIES:
        sampled = sample_scenes(20 * EDITED, seeded(seed), category=category.name)
        sampled = sampled[(sampled.species >= 0).nonzero()[:EDITED, 0]]
        sampled.style[:] = torch.tensor(styles.index("photo"))
        scenes.append(sampled)
        names = list(category.species)
        colors = list(category.factors[-1].values)
        of_scene = sampled.factors[:, len(category.factors) - 1].tolist()
        for species, color in zip(sampled.species.tolist(), of_scene, strict=True):
            thing = article(names[species])
            if kind == "species":
                other = rng.choice([i for i in range(len(names)) if i != species])
                before = f"a photo of {thing}"
                after = f"a photo of {article(names[other])}"
            elif kind == "color":
                other = rng.choice([i for i in range(len(colors)) if i != color])
                before = f"a photo of {article(colors[color])} {category.name}"
                after = f"a photo of {article(colors[other])} {category.name}"
            else:
                other = rng.randrange(1, len(styles.NAMES))
                before = f"a photo of {thing}"
                after = f"a {list(styles.NAMES)[other]} of {thing}"
            base.append(before)
            text.append(after)
            wanted.append(other)
    joined = Scenes(
        *(torch.cat([getattr(part, f.name) for part in scenes]) for f in fields(Scenes))
    )
    return Edits(joined, base=base, text=text, wanted=torch.tensor(wanted))


def outcome(
    kind: str, edited: Edits, pictures: Float[Tensor, "n 3 h w"], oracle: Oracle
) -> tuple[Tensor, Tensor]:
    """Judge edited pictures.

    For each picture, the first result says whether it shows the species, color or style asked for.
    The second is the share that stayed of all that the edit should leave.
    """
    shown = []
    stayed = []
    for number in edited.scenes.category.unique().tolist():
        category = CATEGORIES[number]
        rows = (edited.scenes.category == number).nonzero()[:, 0]
        judgement = oracle.judge(pictures[rows], category.name)
        before = edited.scenes[rows]
        count = len(category.factors)
        wanted = edited.wanted[rows]
        index = torch.arange(len(rows))
        read = judgement.reading.scenes()
        same = read.factors[:, :count] == before.factors[:, :count]
        stays = torch.ones(len(rows), count, dtype=torch.bool)
        same_style = read.style == before.style
        style_stays = torch.ones(len(rows), 5, dtype=torch.bool)
        if kind == "species":
            departures = judgement.departures
            nearer = departures[index, wanted] < departures[index, before.species]
            nearest = departures[index, wanted] == departures.amin(1)
            shown.append(nearer & nearest)
            # Only what the species asked for may have as well need not change.
            allowed = truth(category.name).allowed[wanted]
            stays = allowed.gather(2, before.factors[:, :count, None])[..., 0]
        elif kind == "color":
            shown.append(read.factors[:, count - 1] == wanted)
            stays[:, -1] = False
        else:
            named = torch.tensor([styles.index(name) for name in styles.NAMES])
            shown.append((read.style[:, None] != named).sum(2).argmin(1) == wanted)
            style_stays[:] = False
            stays[:, -1] = styles.color_visible(named[wanted])
        stays = torch.cat([stays, style_stays], 1)
        same = torch.cat([same, same_style], 1)
        stayed.append((stays & same).sum(1) / stays.sum(1))
    return torch.cat(shown), torch.cat(stayed)


def edit_figures(seed: int = 805) -> list[Figure]:
    """Measure edits along theta, by two directions.

    One is the difference of the texts' embeddings, as in the paper, the other that of the means of
    what the prior draws for them. The bars are for the theta of THETA, which was chosen on other
    pictures.
    """
    pipe = load("menagerie", device="cpu")
    oracle = Oracle.load()
    directions = {
        "texts": lambda texts: pipe.encode_text(texts).pooled,
        "prior's means": lambda texts: means(pipe, texts),
    }
    figures = []
    for kind in THETA:
        edited = edits(kind, seed)
        inverted = ddim_inversion(pipe, draw(edited.scenes))
        for direction, embed in directions.items():
            base = embed(edited.base)
            text = embed(edited.text)
            for theta in THETAS:
                z = text_diff(inverted.z, text=text, base=base, theta=theta)
                drawn = decode_inverted(pipe, z, inverted.noise)
                shown, stayed = outcome(kind, edited, pictures=drawn, oracle=oracle)
                summaries = {
                    "shows what was asked for": share(shown),
                    "the rest stays": bootstrap(100 * stayed),
                }
                for label, (value, interval) in summaries.items():
                    name = f"{kind}, {direction}, theta {theta:g}: {label}"
                    if theta == THETA[kind][direction]:
                        figures.append(at_least(name, value, "%", bar=70, interval=interval))
                    else:
                        low, high = interval
                        figures.append(Figure(name, value, "%", low=low, high=high))
            print(f"{kind}, {direction}: done", flush=True)
    return figures


def means(pipe: Pipeline, texts: list[str]) -> Float[Tensor, "n d"]:
    """Average what the prior draws for each text."""
    distinct = list(dict.fromkeys(texts))
    drawn = pipe.sample_prior(pipe.encode_text(distinct), 64, noise=seeded(3)).mean(1)
    return drawn[[distinct.index(text) for text in texts]]


PARTS = {"priors": priors, "inversion": inversion, "edits": edit_figures}


def main() -> None:
    """Publish the parts that the command line asks for."""
    for part in asked(__doc__ or "", PARTS):
        with torch.no_grad():
            publish(f"unclip-{part}", PARTS[part](), 0)


if __name__ == "__main__":
    main()

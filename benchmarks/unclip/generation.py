"""unCLIP's parts: two priors, none, guidance; inversion; edits by differences of texts.

python -m benchmarks.unclip.generation priors        # what the priors draw, and what is drawn without one
python -m benchmarks.unclip.generation inversion     # how well a picture comes back
python -m benchmarks.unclip.generation edits         # what an edit changes, and what it leaves
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
# Chosen on other pictures than are measured.
THETA = {
    "species": {"texts": 0.45, "prior's means": 0.45},
    "color": {"texts": 0.3, "prior's means": 0.4},
    "style": {"texts": 0.25, "prior's means": 0.4},
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(name: str, n: int, seed: int) -> Float[Tensor, "n 3 h w"]:
    scenes = sample_scenes(n, seeded(seed), category=name)
    scenes.style[:] = torch.tensor(styles.index("photo"))
    return draw(scenes)


Draw = Callable[[list[str], int, int], Float[Tensor, "k n d"]]


def ways(pipe: Pipeline, spelling: AutoregressivePrior) -> dict[str, tuple[Draw, float]]:
    """How embeddings are drawn for texts (texts, n, seed), and the decoder's guidance."""
    length = pipe.sample_prior(pipe.encode_text([""]), 256, noise=seeded(0))[0].norm(dim=-1).mean()

    def diffusion(guidance: float = 1.0) -> Draw:
        return lambda texts, n, seed: pipe.sample_prior(
            pipe.encode_text(texts),
            n,
            noise=seeded(seed),
            sampling=PriorSampling(guidance=guidance),
        )

    def spelled(guidance: float = 1.0) -> Draw:
        return lambda texts, n, seed: spelling.sample(
            pipe.encode_text(texts), n, generator=seeded(seed), guidance=guidance
        )

    def best(of: Draw) -> Draw:
        return lambda texts, n, seed: best_of_two(
            of(texts, 2 * n, seed), pipe.encode_text(texts).pooled
        )

    def directly(texts: list[str], n: int, seed: int) -> Tensor:
        return (normalize(pipe.encode_text(texts).pooled, dim=-1) * length)[:, None].expand(
            -1, n, -1
        )

    return {
        "diffusion prior": (diffusion(), 2.0),
        "diffusion prior, better of two": (best(diffusion()), 2.0),
        "diffusion prior, guidance 3": (diffusion(3.0), 2.0),
        "autoregressive prior": (spelled(), 2.0),
        "autoregressive prior, better of two": (best(spelled()), 2.0),
        "autoregressive prior, guidance 3": (spelled(3.0), 2.0),
        "no prior, the text's embedding": (directly, 2.0),
        "diffusion prior, decoder's guidance 1": (diffusion(), 1.0),
        "diffusion prior, decoder's guidance 4": (diffusion(), 4.0),
    }


def priors() -> list[Figure]:
    pipe = load("menagerie", device="cpu")
    judge = Judge.load()
    oracle = Oracle.load()
    spelling = AutoregressivePrior.load()
    figures = []
    scenes = sample_scenes(CAPTIONS, seeded(801))
    texts = caption(scenes, random.Random(0), 0.03)
    own = pipe.encode_images(draw(scenes))
    fits = [
        i
        for i, text in enumerate(texts)
        if len(pipe.tokenizer(text).input_ids) <= pipe.tokenizer.model_max_length
    ]
    texts = [texts[i] for i in fits]
    own = own[fits]
    true = [judge.encode_images(photos(kind.name, 2 * EACH, 802)) for kind in CATEGORIES]
    prompts = judge.encode_text(PROMPTS)
    figures += quality(
        "pictures of the world",
        [rows[:EACH] for rows in true],
        [rows[EACH:] for rows in true],
        prompts,
        None,
    )
    for way, (sample, guidance) in ways(pipe, spelling).items():
        clock = time.monotonic()
        z = sample(texts, 1, 0)[:, 0]
        seconds = time.monotonic() - clock
        drawn = pipe.decode(sample(PROMPTS, EACH, 1), generator=seeded(2), guidance=guidance)
        seen = [judge.encode_images(x) for x in drawn]
        valid = torch.cat(
            [oracle.judge(x, kind.name).valid for x, kind in zip(drawn, CATEGORIES, strict=True)]
        )
        figures += quality(way, seen, [rows[EACH:] for rows in true], prompts, valid)
        like, interval = bootstrap(cosine_similarity(z, own, dim=-1))
        figures += [
            Figure(
                f"{way}: cosine to the captioned picture's embedding",
                like,
                "",
                low=interval[0],
                high=interval[1],
            ),
            Figure(f"{way}: milliseconds an embedding", 1000 * seconds / len(texts), "ms"),
        ]
        print(f"{way}: done", flush=True)
    return figures


def quality(
    way: str, seen: list[Tensor], true: list[Tensor], prompts: Tensor, valid: Tensor | None
) -> list[Figure]:
    """What the judge says of pictures of each category, as means over categories."""
    table = torch.tensor(
        [
            [frechet(a, b), vendi(a), (a @ text).mean().item()]
            for a, b, text in zip(seen, true, prompts, strict=True)
        ]
    )
    figures = []
    for name, column in zip(
        ("FID", "Vendi score of 40", "judge's cosine to the prompt"), table.T, strict=True
    ):
        value, interval = bootstrap(column)
        figures.append(Figure(f"{way}: {name}", value, "", low=interval[0], high=interval[1]))
    if valid is not None:
        value, interval = share(valid)
        figures.append(Figure(f"{way}: valid", value, "%", low=interval[0], high=interval[1]))
    return figures


def inversion() -> list[Figure]:
    pipe = load("menagerie", device="cpu")
    pictures = draw(sample_scenes(INVERTED, seeded(803)))
    figures = []
    coded = pipe.render_latents(pipe.encode_latents(pictures))
    value, interval = bootstrap(psnr(coded, pictures))
    figures.append(
        Figure("the autoencoder alone: PSNR", value, "dB", low=interval[0], high=interval[1])
    )
    for rounds in (1, 2, 5):
        there = ddim_inversion(pipe, pictures, rounds=rounds)
        back = pipe.decode(
            there.z[:, None], noise=there.noise[:, None], guidance=1.0, generator=seeded(0)
        )[:, 0]
        value, interval = bootstrap(psnr(back, pictures))
        name = f"inverted with {rounds} rounds, and decoded: PSNR"
        figures.append(
            at_least(name, value, "dB", 24, interval)
            if rounds == 5
            else Figure(name, value, "dB", low=interval[0], high=interval[1])
        )
        figures.append(
            Figure(
                f"inverted with {rounds} rounds: deviation of the noise",
                there.noise.std().item(),
                "",
            )
        )
    return figures


@dataclass(frozen=True)
class Edits:
    """n pictures with what each is to become: texts, and the world's indices. `wanted` is a species', a color's or a style's number."""

    scenes: Scenes
    base: list[str]
    text: list[str]
    wanted: Tensor


def edits(kind: str, seed: int) -> Edits:
    """Photos of species of each category, and another species, color or style, drawn at random, for each."""
    rng = random.Random(seed)
    scenes = []
    base = []
    text = []
    wanted = []
    for each in CATEGORIES:
        some = sample_scenes(20 * EDITED, seeded(seed), category=each.name)
        some = some[(some.species >= 0).nonzero()[:EDITED, 0]]
        some.style[:] = torch.tensor(styles.index("photo"))
        scenes.append(some)
        names = list(each.species)
        colors = list(each.factors[-1].values)
        for species, color in zip(
            some.species.tolist(), some.factors[:, len(each.factors) - 1].tolist(), strict=True
        ):
            thing = article(names[species])
            if kind == "species":
                other = rng.choice([i for i in range(len(names)) if i != species])
                texts = f"a photo of {thing}", f"a photo of {article(names[other])}"
            elif kind == "color":
                other = rng.choice([i for i in range(len(colors)) if i != color])
                texts = (
                    f"a photo of {article(colors[color])} {each.name}",
                    f"a photo of {article(colors[other])} {each.name}",
                )
            else:
                other = rng.randrange(1, len(styles.NAMES))
                texts = f"a photo of {thing}", f"a {list(styles.NAMES)[other]} of {thing}"
            base.append(texts[0])
            text.append(texts[1])
            wanted.append(other)
    joined = Scenes(
        *(torch.cat([getattr(part, f.name) for part in scenes]) for f in fields(Scenes))
    )
    return Edits(joined, base, text, torch.tensor(wanted))


def outcome(
    kind: str, made: Edits, pictures: Float[Tensor, "n 3 h w"], oracle: Oracle
) -> tuple[Tensor, Tensor]:
    """For each picture whether it shows what was asked for, and of what was not to change the share that did not."""
    flipped = []
    kept = []
    for number in made.scenes.category.unique().tolist():
        each = CATEGORIES[number]
        rows = (made.scenes.category == number).nonzero()[:, 0]
        judged = oracle.judge(pictures[rows], each.name)
        before = made.scenes[rows]
        count = len(each.factors)
        wanted = made.wanted[rows]
        place = torch.arange(len(rows))
        read = judged.reading.scenes()
        same = read.factors[:, :count] == before.factors[:, :count]
        stays = torch.ones(len(rows), count, dtype=torch.bool)
        same_style = read.style == before.style
        style_stays = torch.ones(len(rows), 5, dtype=torch.bool)
        if kind == "species":
            flipped.append(
                (judged.departures[place, wanted] < judged.departures[place, before.species])
                & (judged.departures[place, wanted] == judged.departures.amin(1))
            )
            allowed = truth(each.name).allowed[
                wanted
            ]  # what the asked species may have as well need not change
            stays = allowed.gather(2, before.factors[:, :count, None])[..., 0]
        elif kind == "color":
            flipped.append(read.factors[:, count - 1] == wanted)
            stays[:, -1] = False
        else:
            named = torch.tensor([styles.index(name) for name in styles.NAMES])
            flipped.append((read.style[:, None] != named).sum(2).argmin(1) == wanted)
            style_stays[:] = False
            stays[:, -1] = styles.color_visible(named[wanted])
        both = torch.cat([stays, style_stays], 1)
        still = torch.cat([same, same_style], 1)
        kept.append((both & still).sum(1) / both.sum(1))
    return torch.cat(flipped), torch.cat(kept)


def edit_figures(seed: int = 805) -> list[Figure]:
    """Along theta, by two directions: the difference of the texts' embeddings, as in the paper, and of the means of what the prior draws
    for them. The bars hold at the theta of THETA, which was chosen on other pictures."""
    pipe = load("menagerie", device="cpu")
    oracle = Oracle.load()
    figures = []
    for kind in THETA:
        made = edits(kind, seed)
        there = ddim_inversion(pipe, draw(made.scenes))
        for way, of in (
            ("texts", lambda texts: pipe.encode_text(texts).pooled),
            ("prior's means", lambda texts: means(pipe, texts)),
        ):
            base = of(made.base)
            text = of(made.text)
            for theta in THETAS:
                z = text_diff(there.z, text, base, theta)
                drawn = pipe.decode(
                    z[:, None], noise=there.noise[:, None], guidance=1.0, generator=seeded(0)
                )[:, 0]
                flipped, kept = outcome(kind, made, drawn, oracle)
                (hit, hit_in), (stay, stay_in) = share(flipped), bootstrap(100 * kept)
                names = [
                    f"{kind}, {way}, theta {theta:g}: {what}"
                    for what in ("shows what was asked for", "the rest stays")
                ]
                figures += [
                    at_least(name, value, "%", 70, interval)
                    if theta == THETA[kind][way]
                    else Figure(name, value, "%", low=interval[0], high=interval[1])
                    for name, value, interval in zip(
                        names, (hit, stay), (hit_in, stay_in), strict=True
                    )
                ]
            print(f"{kind}, {way}: done", flush=True)
    return figures


def means(pipe: Pipeline, texts: list[str]) -> Float[Tensor, "n d"]:
    """What the prior draws for each text, on average."""
    one_each = list(dict.fromkeys(texts))
    drawn = pipe.sample_prior(pipe.encode_text(one_each), 64, noise=seeded(3)).mean(1)
    return drawn[[one_each.index(text) for text in texts]]


PARTS = {"priors": priors, "inversion": inversion, "edits": edit_figures}


def main() -> None:
    for part in asked(__doc__ or "", PARTS):
        with torch.no_grad():
            publish(f"unclip-{part}", PARTS[part](), 0)


if __name__ == "__main__":
    main()

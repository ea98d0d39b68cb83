"""What others would do to draw something unusual of a category, to compare with: sampling, prompts and guidance; nothing is learned.

    drawn = negative_prompt(pipe, "pet", ["cat", "dog"], 16, generator=g)      # .z (16, d), .pictures (16, 3, h, w)

Each draws n pictures for "a photo of a {word}", with all noise from one generator. What differs from its source is said there.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..conceptlab.answers import fits_context, normalize_answer
from ..english import article, singular
from ..errors import InputError, at_least
from ..unclip.conditions import PartialStart
from ..unclip.latent import slerp
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Noise, PriorSampling
from ..vision.vqa import Vqa, what_kind
from ..world import captions, category

STEPS = 5  # of the prior
GUIDANCE = 4.0  # of negative prompts in the prior and the decoder: Kandinsky's default


@dataclass(frozen=True, eq=False)
class Samples:
    """Image embeddings and the pictures decoded from them."""

    z: Float[Tensor, "n d"]
    pictures: Float[Tensor, "n 3 h w"]


def photo(*words: str) -> str:
    return f"a photo of {' and '.join(map(article, words))}"


def prompt_only(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    guidance: float = 1.0,
    temperature: float = 1.0,
) -> Samples:
    """The prompt and nothing else. Guidance makes samples alike, 1 is none.

    `temperature` is how much larger the noise is that each of the prior's steps adds than it should be. A diffusion model has no
    temperature of its own; this is one of several things that go by the name. Raises InputError for one that is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; expected a number above 0")
    noise = Noise.draw(generator, STEPS, 1, n, pipe.prior.config.embedding_dim, pipe.device).noise
    noise = torch.cat([noise[:1], temperature * noise[1:]])
    return _decoded(
        pipe,
        pipe.sample_prior(
            pipe.encode_text([photo(word)]),
            n,
            noise=Noise(noise),
            sampling=PriorSampling(guidance=guidance, steps=STEPS),
        )[0],
        generator,
    )


def negative_prompt(
    pipe: Pipeline,
    word: str,
    negatives: Sequence[str],
    n: int,
    *,
    generator: torch.Generator,
    guidance: float = GUIDANCE,
    on: str = "prior",
) -> Samples:
    """Guidance away from a prompt that names the negatives instead of from the empty prompt (ConceptLab's rivals, arXiv 2308.02669,
    section 5).

    `on` "prior" is how Kandinsky does it; on "decoder" each picture is led away from an embedding that the prior draws for the negatives,
    which is nearest to Stable Diffusion's negative prompt in a stack whose decoder reads no text. Raises InputError for other words, and
    for no negatives.
    """
    if on not in ("prior", "decoder"):
        raise InputError(f"on is {on!r}; expected prior and decoder")
    if not negatives:
        raise InputError("negatives holds no words; expected at least one")
    cond = pipe.encode_text([photo(word)])
    against = pipe.encode_text([photo(*negatives)])
    if on == "prior":
        return _decoded(
            pipe,
            pipe.sample_prior(
                cond,
                n,
                noise=generator,
                negative=against,
                sampling=PriorSampling(guidance=guidance),
            )[0],
            generator,
        )
    z, away = (pipe.sample_prior(told, n, noise=generator) for told in (cond, against))
    return Samples(z[0], pipe.decode(z, generator=generator, guidance=guidance, negative=away)[0])


def random_parts(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    parts: int = 3,
    guidance: float = 3.0,
) -> Samples:
    """For each picture a prompt of its own that names random parts: "a photo of a pet with wings and a curly tail". What a person who knows
    the world would type; no source. The guidance is that which prompts of several things need. Raises InputError for an unknown category
    and more parts than it has."""
    prompts = naming_parts(word, n, parts, _rng(generator))
    return _decoded(
        pipe,
        pipe.sample_prior(
            pipe.encode_text(prompts), 1, noise=generator, sampling=PriorSampling(guidance=guidance)
        )[:, 0],
        generator,
    )


def naming_parts(word: str, n: int, parts: int, rng: random.Random) -> list[str]:
    """n prompts for `random_parts`, which see."""
    kind = category(word)
    prompts = []
    forms = [factor for factor in kind.factors if factor.structural]
    if not 1 <= parts <= len(forms):
        raise InputError(f"parts is {parts}; expected 1 to {len(forms)} for {article(word)}")
    for _ in range(n):
        values = {
            factor.name: rng.choice(list(factor.values)) for factor in rng.sample(forms, parts)
        }
        prompts.append(
            photo(
                captions.subject(
                    kind, values | {"color": "", "pattern": ""}, None, list(values), False, False
                )
            )
        )
    return prompts


def random_mix(
    pipe: Pipeline, members: Sequence[str], n: int, *, generator: torch.Generator
) -> Samples:
    """Half way between what the prior draws for two random members, along the arc (unCLIP's interpolation, arXiv 2204.06125, section 3.2;
    diffusers' Kandinsky takes the plain mean). Raises InputError for fewer than two members."""
    if len(members) < 2:
        raise InputError(f"members holds {len(members)} words; expected at least two")
    rng = _rng(generator)
    pairs = [rng.sample(list(members), 2) for _ in range(n)]
    one, other = (
        pipe.sample_prior(pipe.encode_text([photo(name) for name in names]), 1, noise=generator)[
            :, 0
        ]
        for names in zip(*pairs, strict=True)
    )
    return _decoded(pipe, slerp(one, other, 0.5), generator)


def adaptive_negatives(
    pipe: Pipeline,
    vqa: Vqa,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    guidance: float = GUIDANCE,
    steps: int = 6,
) -> Samples:
    """While a picture is sampled a VQA is asked after each step what it is going to be, and the prompt of the negatives grows by the answer
    (Golan et al., arXiv 2510.10715).

    There one network denoises pixels, and the question is about its clean estimate. Here the prior denoises an embedding: what it
    would end as is decoded and asked about, then covered again with the noise of the next step. Each picture has its own negatives;
    they are named in one prompt, of which the oldest is dropped when it gets longer than the text encoder takes. Raises InputError for
    fewer than two steps.
    """
    at_least("steps", steps, 2)
    cond = pipe.encode_text([photo(word)] * n)
    z = pipe.sample_prior(cond, 1, noise=generator, sampling=PriorSampling(steps=steps))
    negatives = [[] for _ in range(n)]
    for left in range(steps - 1, 0, -1):
        pictures = pipe.decode(z.transpose(0, 1), generator=generator, steps=5)[0]
        for own, said in zip(negatives, vqa.ask(pictures, what_kind(word)), strict=True):
            answer = normalize_answer(said, pipe)
            if (
                answer
                and answer not in (*own, word, singular(word))
                and fits_context(answer, pipe, ["a photo of a {}"])
            ):
                own.append(answer)
            while not fits_context(" and a ".join(own), pipe, ["a photo of a {}"]):
                own.pop(0)
        against = pipe.encode_text([photo(*own) if own else "" for own in negatives])
        z = pipe.sample_prior(
            cond,
            1,
            noise=generator,
            start=PartialStart(z, left / steps),
            negative=against,
            sampling=PriorSampling(guidance=guidance, steps=steps),
        )
    return _decoded(pipe, z[:, 0], generator)


def _decoded(pipe: Pipeline, z: Float[Tensor, "n d"], generator: torch.Generator) -> Samples:
    return Samples(z, pipe.decode(z[None], generator=generator)[0])


def _rng(generator: torch.Generator) -> random.Random:
    return random.Random(int(torch.randint(2**31, (1,), generator=generator)))

"""Rivals: other ways to draw something unusual of a category, by sampling, prompts and guidance.

    drawn = negative_prompt(pipe, "pet", ["cat", "dog"], 16, generator=g)   # drawn.z,
    drawn.pictures

Nothing is learned. Each draws n pictures for "a photo of a {word}", with all noise from one
generator. Its docstring says how it differs from its source. The functions called `sample_...` draw
the embeddings alone, so that some can be chosen before they are decoded.
"""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..conceptlab.answers import fits_context, normalize_answer
from ..english import article, clean_word, clean_words, singular
from ..errors import InputError, above, whole
from ..unclip.conditions import PartialStart, TextCondition
from ..unclip.latent import slerp
from ..unclip.pipeline import Pipeline
from ..unclip.prior import MOST_STEPS, Noise, PriorSampling
from ..vision.vqa import Vqa, what_kind
from ..world import captions, category
from .samples import Samples, decoded

# Denoising steps of the prior.
STEPS = 5
# Guidance of negative prompts in the prior and the decoder: Kandinsky's default.
GUIDANCE = 4.0
TEMPLATE = "a photo of a {}"


def photo(*words: str) -> str:
    """Write the prompt for words.

    >>> photo("pet", "owl")
    'a photo of a pet and an owl'
    """
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
    """Draw from the prompt and nothing else; see `sample_prompt` for the settings."""
    z = sample_prompt(
        pipe, word, n, generator=generator, guidance=guidance, temperature=temperature
    )
    return decoded(pipe, z[None], generator=generator)


def sample_prompt(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    guidance: float = 1.0,
    temperature: float = 1.0,
    steps: int = STEPS,
) -> Float[Tensor, "n d"]:
    """Draw embeddings for the prompt. Guidance makes samples alike; 1 is none.

    `temperature` scales the noise that each of the prior's steps adds. A diffusion model has no
    temperature; this is one of several things that go by the name. Raises InputError for one that
    is not above 0, for a guidance below 1, and for steps out of range.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    whole("steps", steps, 1, MOST_STEPS)
    above("temperature", temperature, 0)
    d = pipe.prior.config.embedding_dim
    noise = Noise.draw(generator, steps, 1, n, d, pipe.device).noise
    scaled = Noise(torch.cat([noise[:1], temperature * noise[1:]]))
    cond = pipe.encode_text([photo(word)])
    sampling = PriorSampling(guidance=guidance, steps=steps)
    return pipe.sample_prior(cond, n, noise=scaled, sampling=sampling)[0]


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
    """Guide away from a prompt that names the negatives instead of from the empty prompt.

    `on` "prior" is how Kandinsky does it. On "decoder" each picture is led away from an embedding
    that the prior draws for the negatives, which is nearest to Stable Diffusion's negative prompt
    in a stack whose decoder reads no text. Raises InputError for other words, for no negatives and
    for one that comes twice, and for a guidance of 1 or less, which would ignore them.
    Source: ConceptLab's rivals, arXiv 2308.02669, section 5.
    """
    if on not in ("prior", "decoder"):
        raise InputError(f"on is {on!r}; expected 'prior' or 'decoder'")
    if on == "prior":
        z = sample_away(pipe, word, negatives, n, generator=generator, guidance=guidance)
        return decoded(pipe, z[None], generator=generator)
    negatives = _checked(negatives, guidance)
    z = sample_prompt(pipe, word, n, generator=generator)
    return decode_away(pipe, z, negatives, generator=generator, guidance=guidance)


def sample_away(
    pipe: Pipeline,
    word: str,
    negatives: Sequence[str],
    n: int,
    *,
    generator: torch.Generator,
    guidance: float = GUIDANCE,
) -> Float[Tensor, "n d"]:
    """Draw embeddings for the prompt away from one that names the negatives; errors as above."""
    word = clean_word("word", word)
    negatives = _checked(negatives, guidance)
    whole("n", n, 1)
    cond = pipe.encode_text([photo(word)])
    against = pipe.encode_text([photo(*negatives)])
    sampling = PriorSampling(guidance=guidance)
    return pipe.sample_prior(cond, n, noise=generator, sampling=sampling, negative=against)[0]


def decode_away(
    pipe: Pipeline,
    z: Float[Tensor, "n d"],
    negatives: Sequence[str],
    *,
    generator: torch.Generator,
    guidance: float = GUIDANCE,
) -> Samples:
    """Decode embeddings away from what the prior draws for the negatives; errors as above."""
    negatives = _checked(negatives, guidance)
    against = pipe.encode_text([photo(*negatives)])
    away = pipe.sample_prior(against, len(z), noise=generator)
    pictures = pipe.decode(z[None], generator=generator, guidance=guidance, negative=away)
    return Samples(z, pictures[0])


def _checked(negatives: Sequence[str], guidance: float) -> tuple[str, ...]:
    negatives = clean_words("negatives", negatives)
    if not negatives:
        raise InputError("negatives holds no words; expected at least one")
    above("guidance", guidance, 1)
    return negatives


def random_parts(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    parts: int = 3,
    guidance: float = 3.0,
) -> Samples:
    """Draw each picture from its own prompt that names random parts.

    Such as "a photo of a pet with wings and a curly tail": what a person who knows the world would
    type. There is no source. The guidance is the one that prompts of several things need. Raises
    InputError for an unknown category and more parts than it has.
    """
    z = sample_parts(pipe, word, n, generator=generator, parts=parts, guidance=guidance)
    return decoded(pipe, z[None], generator=generator)


def sample_parts(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    parts: int = 3,
    guidance: float = 3.0,
) -> Float[Tensor, "n d"]:
    """Draw embeddings as `random_parts` does."""
    cond = pipe.encode_text(naming_parts(word, n, parts, _rng(generator)))
    sampling = PriorSampling(guidance=guidance)
    return pipe.sample_prior(cond, 1, noise=generator, sampling=sampling)[:, 0]


def naming_parts(word: str, n: int, parts: int, rng: random.Random) -> list[str]:
    """Write n prompts for `random_parts`."""
    kind = category(word)
    prompts = []
    forms = [factor for factor in kind.factors if factor.structural]
    whole("parts", parts, 0)
    if not 1 <= parts <= len(forms):
        raise InputError(f"parts is {parts}; expected 1 to {len(forms)} for {article(word)}")
    for _ in range(n):
        chosen = rng.sample(forms, parts)
        values = {factor.name: rng.choice(list(factor.values)) for factor in chosen}
        subject = captions.subject(
            kind,
            values | {"color": "", "pattern": ""},
            species=None,
            parts=list(values),
            color=False,
            pattern=False,
        )
        prompts.append(photo(subject))
    return prompts


def random_mix(
    pipe: Pipeline, members: Sequence[str], n: int, *, generator: torch.Generator
) -> Samples:
    """Draw halfway along the arc between the prior's samples for two random members.

    unCLIP's interpolation, arXiv 2204.06125, section 3.2; diffusers' Kandinsky takes the plain
    mean. Raises InputError for fewer than two members.
    """
    z = sample_mix(pipe, members, n, generator=generator)
    return decoded(pipe, z[None], generator=generator)


def sample_mix(
    pipe: Pipeline, members: Sequence[str], n: int, *, generator: torch.Generator
) -> Float[Tensor, "n d"]:
    """Draw embeddings as `random_mix` does."""
    members = clean_words("members", members)
    if len(members) < 2:
        raise InputError(f"members holds {len(members)} words; expected at least two")
    whole("n", n, 1)
    rng = _rng(generator)
    pairs = [rng.sample(list(members), 2) for _ in range(n)]

    def sample(names: Sequence[str]) -> Float[Tensor, "n d"]:
        cond = pipe.encode_text([photo(name) for name in names])
        return pipe.sample_prior(cond, 1, noise=generator)[:, 0]

    first = sample([pair[0] for pair in pairs])
    second = sample([pair[1] for pair in pairs])
    return slerp(first, second, 0.5)


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
    """Ask a VQA after each step what a picture is becoming, and add its answer to the negative
    prompt.

    Golan et al., arXiv 2510.10715. There one network denoises pixels, and the question is about its
    clean estimate. Here the prior denoises an embedding: its estimate is decoded and asked about,
    then noised again to the next step's level. Each picture has its own negatives; they are named
    in one prompt, and the oldest is dropped when the prompt no longer fits. Raises InputError for
    fewer than two steps.
    """
    z = sample_adaptive(pipe, vqa, word, n, generator=generator, guidance=guidance, steps=steps)
    return decoded(pipe, z[None], generator=generator)


def sample_adaptive(
    pipe: Pipeline,
    vqa: Vqa,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    guidance: float = GUIDANCE,
    steps: int = 6,
) -> Float[Tensor, "n d"]:
    """Draw embeddings as `adaptive_negatives` does."""
    word = clean_word("word", word)
    whole("n", n, 1)
    whole("steps", steps, 2, MOST_STEPS)
    cond = pipe.encode_text([photo(word)] * n)
    z = pipe.sample_prior(cond, 1, noise=generator, sampling=PriorSampling(steps=steps))
    negatives: list[list[str]] = [[] for _ in range(n)]
    for left in range(steps - 1, 0, -1):
        pictures = pipe.decode(z.transpose(0, 1), generator=generator, steps=5)[0]
        negatives = with_answers(pipe, vqa, pictures, word, negatives)
        against = naming(pipe, negatives)
        z = pipe.sample_prior(
            cond,
            1,
            noise=generator,
            sampling=PriorSampling(guidance=guidance, steps=steps),
            start=PartialStart(z, left / steps),
            negative=against,
        )
    return z[:, 0]


def with_answers(
    pipe: Pipeline,
    vqa: Vqa,
    pictures: Float[Tensor, "n 3 h w"],
    word: str,
    negatives: Sequence[Sequence[str]],
) -> list[list[str]]:
    """Ask what kind of a category's thing each picture shows; add the answer to its negatives.

    Known answers and the category itself are not added. The oldest negatives are dropped where the
    prompt that names all no longer fits.
    """
    grown = [list(own) for own in negatives]
    replies = vqa.ask(pictures, what_kind(word))
    for own, reply in zip(grown, replies, strict=True):
        answer = normalize_answer(reply, pipe)
        is_new = answer and answer not in (*own, word, singular(word))
        if is_new and fits_context(answer, pipe, [TEMPLATE]):
            own.append(answer)
        while not fits_context(" and a ".join(own), pipe, [TEMPLATE]):
            own.pop(0)
    return grown


def naming(pipe: Pipeline, negatives: Sequence[Sequence[str]]) -> TextCondition:
    """Encode a prompt for each picture that names its negatives; the empty one names none."""
    return pipe.encode_text([photo(*own) if own else "" for own in negatives])


def _rng(generator: torch.Generator) -> random.Random:
    return random.Random(int(torch.randint(2**31, (1,), generator=generator)))

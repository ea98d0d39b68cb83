"""Settling: a concept that has come to stand for several things becomes the newest of them. This book's addition, not the paper's.

    concept = settle(pipe, "pet", result.concept, result.negatives)

Away from many negatives a vector ends between them, and what the prior draws for it differs from sample to sample: one is a known thing,
the next is none. One vector cannot say more. So one sample is chosen and drawn, and a low-rank change of the prior (see `concept.lora`)
learns to draw that picture's embedding for the plain word: textual inversion (arXiv 2208.01618), in embeddings and with more to learn.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..concept import Concept, init
from ..optimization.loop import optimize, step_generator
from ..optimization.objectives import Similarity
from ..unclip.pipeline import Pipeline
from ..unclip.prior import PriorSampling
from .constraints import Negative, Positive, TextEmbeddings, negative_term

# The first is plain; the others show what a way of drawing does to an embedding.
TEMPLATES = ("a photo of a {}", "a pencil sketch of a {}", "a watercolor painting of a {}")
CANDIDATES = 64
SHIFT = 256  # embeddings of a template's mean


def most_novel(z: Float[Tensor, "k m d"], like: Positive, unlike: Negative) -> Float[Tensor, "k d"]:
    """For each concept, of the half of its m samples that are most like the category, the one that is least like its negatives."""
    k, m, d = z.shape
    each = z.reshape(k * m, 1, d)
    own = Negative(
        unlike.texts.repeat_interleave(m, 0),
        unlike.present.repeat_interleave(m, 0),
        unlike.floor,
        unlike.use_max,
    )
    positive = like.loss(each).view(k, m)
    negative = own.loss(each).view(k, m)
    allowed = positive <= positive.median(1, keepdim=True).values
    return z[torch.arange(k), torch.where(allowed, negative, torch.inf).argmin(1)]


# A family asks for the same ones again and again. No pipeline is kept in memory for their sake.
_known: WeakKeyDictionary[Pipeline, dict[tuple[Any, ...], Tensor]] = WeakKeyDictionary()


def template_offsets(
    pipe: Pipeline, word: str, templates: tuple[str, ...], sampling: PriorSampling = PriorSampling()
) -> Float[Tensor, "t d"]:
    """What each template makes different from the first, for a word: the difference of the means of what the prior draws."""
    known = _known.setdefault(pipe, {})
    key = (word, templates, sampling)
    if key not in known:
        with torch.no_grad():
            usual = pipe.sample_prior(
                pipe.encode_text([template.format(word) for template in templates]),
                SHIFT,
                noise=torch.Generator().manual_seed(0),
                sampling=sampling,
            ).mean(1)
        known[key] = usual - usual[0]
    return known[key]


def settle(
    pipe: Pipeline,
    word: str,
    concept: Concept,
    lists: Sequence[Sequence[str]],
    seed: int = 0,
    *,
    steps: int = 90,
    lr: float = 0.01,
    samples: int = 4,
    templates: tuple[str, ...] = TEMPLATES,
    sampling: PriorSampling = PriorSampling(),
    progress: bool = False,
) -> Concept:
    """k concepts of a word, each with its own negatives, settled in `steps` steps; seeds and `lr` as in `optimize`.

    What is learned is the embedding of one picture of the chosen sample. In another template it is moved by the difference that the
    template makes (see `shifts`): so the concept can still be drawn in any way.
    """
    words = TextEmbeddings(pipe)
    plain = templates[0]
    with torch.no_grad():
        noise = [step_generator(1000 * seed + i, -1) for i in range(len(concept))]
        z = concept.sample(pipe, plain, CANDIDATES, noise=noise, sampling=sampling)
        chosen = most_novel(
            z, Positive(words(plain, [word])), negative_term(words, plain, lists, floor=-1.0)
        )
        # An embedding between known things can be drawn in several ways; that of a picture says which.
        target = pipe.encode_images(pipe.decode(chosen[:, None], generator=noise))[:, 0]
    start = init(pipe, "lora", word, len(concept), torch.Generator().manual_seed(seed))
    objectives = [
        Similarity((target + shift)[:, None])
        for shift in template_offsets(pipe, word, templates, sampling)
    ]
    run = optimize(pipe, start, objectives, templates, steps, lr, 1000 * seed, samples, sampling)
    *_, last = tqdm(run, total=steps, desc="settling", disable=not progress)
    return last.concept

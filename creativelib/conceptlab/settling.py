"""Settling: a concept that stands for several things becomes the most novel of them.

    concept = settle(pipe, "pet", result.concept, result.negatives)

This is the book's addition, not the paper's. Away from many negatives a vector ends between them,
and the prior's samples for it differ: one shows a known thing, the next does not. One vector cannot
say more. So one sample is chosen and drawn, and a low-rank change of the prior (see `concept.lora`)
learns to draw that picture's embedding for the plain word: textual inversion (arXiv 2208.01618), in
embeddings and with more to learn.
"""

from collections.abc import Sequence
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept, init
from ..english import clean_templates, clean_word, fill
from ..errors import InputError, whole
from ..optimization.loop import drain, optimize, step_generator
from ..optimization.objectives import Similarity
from ..seeds import check_seed, first_seed, seeded
from ..sharing import Remembered, normal_tensors
from ..unclip.pipeline import Pipeline
from ..unclip.prior import PriorSampling
from .constraints import Negative, Positive, TextEmbeddings, negative_term

# The first is plain; the others show what a way of drawing does to an embedding.
TEMPLATES = ("a photo of a {}", "a pencil sketch of a {}", "a watercolor painting of a {}")
# Samples of which one is chosen.
CANDIDATES = 64
# Embeddings that a template's mean is taken over.
OFFSET_SAMPLES = 256

# (word, templates, sampling) -> offsets. A family asks for the same ones again and again. No
# pipeline is kept in memory for their sake.
Offsets = Remembered[tuple[str, tuple[str, ...], PriorSampling], Tensor]
CACHED_OFFSETS = 64
_offsets: WeakKeyDictionary[Pipeline, Offsets] = WeakKeyDictionary()
_lock = Lock()


def most_novel(z: Float[Tensor, "k m d"], like: Positive, unlike: Negative) -> Float[Tensor, "k d"]:
    """Choose a sample for each concept: the one least like its negatives.

    Only the half of its m samples that are most like the category is considered.
    """
    k, m, d = z.shape
    each = z.reshape(k * m, 1, d)
    repeated = Negative(
        texts=unlike.texts.repeat_interleave(m, 0),
        present=unlike.present.repeat_interleave(m, 0),
        floor=unlike.floor,
        use_max=unlike.use_max,
    )
    positive = like.loss(each).view(k, m)
    negative = repeated.loss(each).view(k, m)
    considered = positive <= positive.median(1, keepdim=True).values
    chosen = torch.where(considered, negative, torch.inf).argmin(1)
    return z[torch.arange(k), chosen]


def template_offsets(
    pipe: Pipeline, word: str, templates: tuple[str, ...], sampling: PriorSampling = PriorSampling()
) -> Float[Tensor, "t d"]:
    """Return how each template moves a word's embeddings from those of the first template.

    An offset is the difference of the means of the prior's samples.
    """

    def draw() -> Tensor:
        cond = pipe.encode_text([fill(template, word) for template in templates])
        generator = seeded(0)
        with torch.no_grad():
            z = pipe.sample_prior(cond, OFFSET_SAMPLES, noise=generator, sampling=sampling)
        means = z.mean(1)
        return means - means[0]

    with _lock:
        offsets = _offsets.setdefault(pipe, Remembered(CACHED_OFFSETS))
    return offsets.get((word, templates, sampling), draw)


@normal_tensors()
def settle(
    pipe: Pipeline,
    word: str,
    concept: Concept,
    negatives: Sequence[Sequence[str]],
    seed: int = 0,
    *,
    steps: int = 90,
    lr: float = 0.01,
    samples: int = 4,
    templates: tuple[str, ...] = TEMPLATES,
    sampling: PriorSampling = PriorSampling(),
    progress: bool = False,
) -> Concept:
    """Settle k concepts of a word, each with its own negatives; `seed` and `lr` as in `optimize`.

    What is learned is the embedding of one picture of the chosen sample. In another template it is
    moved by that template's offset, so that the concept can still be drawn in any way.

    Raises InputError for a bad word, seed or template, and unless there is a list of negatives for
    each concept.
    """
    word = clean_word("word", word)
    check_seed(seed)
    templates = clean_templates("templates", templates)
    whole("samples", samples, 1)
    if isinstance(negatives, str) or len(negatives) != len(concept):
        raise InputError(
            f"negatives holds {len(negatives)} lists; expected one for each of {len(concept)} "
            "concepts"
        )
    texts = TextEmbeddings(pipe)
    plain = templates[0]
    generators = [step_generator(first_seed(seed) + i, -1) for i in range(len(concept))]
    with torch.no_grad():
        z = concept.sample(pipe, plain, CANDIDATES, noise=generators, sampling=sampling)
        like = Positive(texts(plain, [word]))
        chosen = most_novel(z, like, negative_term(texts, plain, negatives, floor=-1.0))
        # An embedding between known things can be drawn in several ways; a picture's says which.
        pictures = pipe.decode(chosen[:, None], generator=generators)
        target = pipe.encode_images(pictures)[:, 0]
    start = init(pipe, "lora", word, len(concept), seeded(seed))
    offsets = template_offsets(pipe, word, templates, sampling)
    states = optimize(
        pipe,
        start,
        [Similarity((target + offset)[:, None]) for offset in offsets],
        templates,
        steps=steps,
        lr=lr,
        seed=first_seed(seed),
        n=samples,
        sampling=sampling,
    )
    return drain(states, steps, "settling", lambda step: {}, progress=progress).concept

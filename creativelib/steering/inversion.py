"""From pictures to concepts: textual inversion in embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept, EmbeddingConcept, init
from ..english import check_template, clean_word
from ..optimization.loop import optimize
from ..optimization.objectives import Similarity
from ..seeds import check_seed, first_seed, seeded
from ..sharing import normal_tensors
from ..unclip.pipeline import Pipeline
from .settings import LR, STEER_DEFAULTS, SteerConfig


@normal_tensors()
def textual_inversion(
    pipe: Pipeline,
    word: str,
    pictures: Float[Tensor, "k 3 h w"],
    config: SteerConfig = STEER_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
) -> Concept:
    """Find k concepts whose embeddings are nearest those of k pictures in [0, 1].

    They are where to start steering from one's own pictures. With the kind "embedding" they are
    exact and nothing is optimized; else `config.steps` steps bring them as near as they can.
    Source: textual inversion, arXiv 2208.01618, with CLIP's embedding in place of the picture.
    Raises InputError for a bad word, template or seed.
    """
    word = clean_word("word", word)
    check_template(template)
    check_seed(seed)
    with torch.no_grad():
        z = pipe.encode_images(pictures)
    if config.kind == "embedding":
        return EmbeddingConcept.at(word, z)
    generator = seeded(seed)
    start = init(pipe, config.kind, word, len(z), generator, template)
    best = start
    least = torch.full((len(z),), torch.inf)
    steps = optimize(
        pipe,
        start,
        Similarity(z[:, None]),
        [template],
        steps=config.steps,
        lr=config.lr or LR[config.kind],
        seed=first_seed(seed),
        n=config.samples,
        sampling=config.sampling,
    )
    for step in steps:
        total = step.terms.total.cpu()
        best = step.concept.where(total < least, best)
        least = torch.minimum(total, least)
    return best

"""From pictures to concepts: textual inversion in embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept, EmbeddingConcept, init
from ..optimization.loop import optimize
from ..optimization.objectives import Similarity
from ..unclip.pipeline import Pipeline
from .settings import LR, STEER_DEFAULTS, SteerConfig


def textual_inversion(
    pipe: Pipeline,
    word: str,
    pictures: Float[Tensor, "k 3 h w"],
    config: SteerConfig = STEER_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
) -> Concept:
    """k concepts whose embeddings come as near to those of k pictures in [0, 1] as `config.steps` steps bring them: where to start
    steering from pictures of one's own (textual inversion, arXiv 2208.01618, with CLIP's embedding in place of the picture).

    With the kind "embedding" that is exact, and nothing is optimised.
    """
    with torch.no_grad():
        z = pipe.encode_images(pictures)
    if config.kind == "embedding":
        return EmbeddingConcept.at(word, z)
    start = init(pipe, config.kind, word, len(z), torch.Generator().manual_seed(seed), template)
    best = start
    least = torch.full((len(z),), torch.inf)
    for step in optimize(
        pipe,
        start,
        Similarity(z[:, None]),
        [template],
        config.steps,
        config.lr or LR[config.kind],
        1000 * seed,
        config.samples,
        config.sampling,
    ):
        total = step.terms.total.cpu()
        best = step.concept.where(total < least, best)
        least = torch.minimum(total, least)
    return best

"""ProCreate: each sample moves away from the nearest of what one has already seen.

z = propulsion(pipe, "pet", 16, generator=g)   # (16, d)
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ...english import clean_word
from ...errors import MOST, whole, within
from ...unclip.pipeline import Pipeline
from ...unclip.prior import Noise, PriorSampling
from ..baselines import photo

# Chosen by how many of 16 pets and 16 buildings were valid and novel; with 1 none is valid.
STRENGTH = 0.3


def propulsion(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    strength: float = STRENGTH,
    references: int = 64,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings of the prompt, led away from plain samples of it.

    strength: how far each prediction moves down the gradient of its cosine to the nearest
        reference, in units of its squared norm; 0 is plain sampling. Nothing moves at the last
        step.
    references: plain samples, which stand for what one has seen.

    Source: Lu et al., ECCV 2024, arXiv 2408.02226. There references are training
    pictures and what was drawn before; likeness is the cosine of DreamSim's embeddings; and the
    gradient passes several steps of the denoiser. Here all samples are drawn at once, likeness is
    the cosine of the prior's own embeddings, and the gradient is taken where the prediction is.
    Raises InputError for a strength below 0 and for no references.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    within("strength", strength, 0, MOST)
    whole("references", references, 1)
    cond = pipe.encode_text([photo(word)])
    d = pipe.prior.config.embedding_dim
    noise = Noise.draw(generator, sampling.steps, 1, n, d, pipe.device)
    if strength == 0:
        return pipe.sample_prior(cond, n, noise=noise, sampling=sampling)[0]
    seen = pipe.sample_prior(cond, references, noise=generator, sampling=sampling)[0]

    def push(x0_pred: Tensor, progress: float) -> Tensor:
        if progress >= 1:
            return x0_pred
        squared = x0_pred.square().sum(-1, keepdim=True)
        return x0_pred - strength * squared * likeness_gradient(x0_pred, seen)

    return pipe.sample_prior(cond, n, noise=noise, sampling=sampling, denoised_fn=push)[0]


def likeness_gradient(
    z: Float[Tensor, "*b d"], references: Float[Tensor, "m d"]
) -> Float[Tensor, "*b d"]:
    """Return the gradient of the cosine to the nearest reference."""
    own = normalize(z, dim=-1)
    known = normalize(references, dim=-1)
    nearest = known[(own @ known.T).argmax(-1)]
    cosine = (own * nearest).sum(-1, keepdim=True)
    return (nearest - cosine * own) / z.norm(dim=-1, keepdim=True)

"""Boost-and-Skip: begin with noise that is too large, and leave out the first steps.

z = boost_and_skip(pipe, "pet", 16, generator=g)   # (16, d)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...english import clean_word
from ...errors import MOST, whole, within
from ...sharing import normal_tensors
from ...unclip.pipeline import Pipeline
from ...unclip.prior import PriorSampling
from ..baselines import photo
from .denoiser import Denoiser


@normal_tensors()
def boost_and_skip(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    gamma: float = 2.0,
    skip: int = 1,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings of the prompt from boosted noise.

    gamma: the standard deviation of the noise that sampling begins with. The prior knows 1.
    skip: first steps that are left out. At the first one the signal is so weak that the noise which
        sampling begins with is replaced almost whole, and its boost with it.

    A gamma of 1 without a skip is plain sampling. Raises InputError for a gamma out of [1, MOST],
    and unless at least one step is left.

    Source: Um, Kim and Ye, ICML 2025, arXiv 2502.06516. There pictures are denoised by 250 steps, 3
    of which are skipped, with gamma 4 for faces and 2.5 for ImageNet. Here an embedding is, by a
    few steps, so that one of them spans more of the schedule.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    within("gamma", gamma, 1, MOST)
    whole("skip", skip, 0, sampling.steps - 1)
    denoiser = Denoiser.of(pipe, sampling.steps)
    cond = pipe.encode_text([photo(word)])
    negative = pipe.encode_text([""])
    noise = denoiser.draw(generator, n, skip)
    x = gamma * next(noise)
    for index in range(skip, sampling.steps):
        t = denoiser.schedule.timesteps[index]
        x0 = denoiser.predict(x, t, cond, guidance=sampling.guidance, negative=negative)
        x = denoiser.schedule.step(index, x0, x, next(noise))
    return denoiser.embeddings(x)

"""Group inference: of many candidates, keep the set that is good and diverse as a whole.

    z = group_inference(pipe, "pet", 16, generator=g)   # (16, d)

Source: Parmar et al., ICLR 2026, arXiv 2508.15773. There quality is the cosine of CLIP's embeddings
of text and picture, diversity 1 minus the cosine of DINO's, both of decoded predictions, and each
choice is a quadratic integer program for a solver. Here the prior's prediction is an embedding of
CLIP already and serves for both, nothing is decoded, and a greedy search chooses. There each step
drops the same share, until the set's size is reached early on: without noise on the way, the first
predictions show where a sample ends. The prior adds noise at each step, so here the size is reached
with the last one.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from ...english import clean_word
from ...errors import MOST, InputError, whole, within
from ...fitting.precision import to_float64
from ...unclip.pipeline import Pipeline
from ...unclip.prior import PriorSampling
from ..baselines import photo

# The released code's weight of diversity. On 16 pets and 16 buildings a tenth of it did no better.
DIVERSITY = 1.5


def group_inference(
    pipe: Pipeline,
    word: str,
    n: int,
    *,
    generator: torch.Generator,
    candidates: int = 4,
    diversity: float = DIVERSITY,
    sampling: PriorSampling = PriorSampling(steps=10),
) -> Float[Tensor, "n d"]:
    """Draw n embeddings of the prompt: the best set among `candidates` times as many.

    candidates: beginnings for each embedding of the set; with 1 nothing is left to choose.
    diversity: the paper's lambda, the weight of all pairs' diversity beside the sum of qualities.

    All candidates go on after the first step, the same share of them after each other one, and n
    after the last. Those that are dropped cost nothing any more.

    Raises InputError for fewer than 1 candidate and a weight below 0.
    """
    word = clean_word("word", word)
    whole("n", n, 1)
    whole("candidates", candidates, 1)
    within("diversity", diversity, 0, MOST)
    cond = pipe.encode_text([photo(word)])
    text = normalize(cond.pooled.float(), dim=-1)

    def resample_fn(x0_pred: Tensor, progress: float) -> Tensor:
        size = math.ceil(n * candidates ** (1 - progress))
        rows = normalize(x0_pred[0], dim=-1)
        chosen = best_set((rows @ text.T)[:, 0], diversity * (1 - rows @ rows.T), size)
        return chosen[None]

    return pipe.sample_prior(
        cond, n * candidates, noise=generator, sampling=sampling, resample_fn=resample_fn
    )[0]


def best_set(
    quality: Float[Tensor, " m"], diversity: Float[Tensor, "m m"], n: int
) -> Int[Tensor, " n"]:
    """Choose n of m so that the sum of their qualities and of all pairs' diversities is large.

    Starts with all, leaves out whatever adds least until n are left, then swaps one member for
    another while that raises the sum. No swap raises the sum of what is returned, in increasing
    order; a better set that differs in more members may exist. Raises InputError unless n is
    between 1 and m.
    """
    m = len(quality)
    if not 1 <= n <= m:
        raise InputError(f"n is {n}; expected 1 to the number of candidates, {m}")
    own = to_float64(quality)
    pairs = to_float64(diversity)
    pairs = pairs - torch.diag(pairs.diagonal())
    member = torch.ones(m, dtype=torch.bool, device=own.device)
    for _ in range(m - n):
        worth = own + pairs @ member.to(own)
        member[worth.masked_fill(~member, torch.inf).argmin()] = False
    while True:
        worth = own + pairs @ member.to(own)
        # Row i leaves, column j comes.
        gain = worth[None] - pairs - worth[:, None]
        gain = gain.masked_fill(~member[:, None] | member[None], -torch.inf)
        best = int(gain.argmax())
        if not gain.view(-1)[best] > 1e-9:
            return member.nonzero()[:, 0].to(quality.device)
        member[best // m] = False
        member[best % m] = True

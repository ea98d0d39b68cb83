"""The spaces in which ConceptLab's constraints may compare (arXiv 2308.02669, section 5.3).

- prior: image embeddings that the prior draws for the concept, as in the method;
- text: the text encoder's output for the concept, without any prior (CLIP-ConceptLab);
- decoder: CLIP's embedding of the decoder's estimate of the clean picture, after a few steps
  (SD-ConceptLab).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..english import fill
from ..errors import InputError, listed, one_of, whole
from ..seeds import seeded
from ..sharing import Remembered, normal_tensors
from ..unclip.conditions import TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Generators, PriorSampling

SPACES = ("prior", "text", "decoder")
# Denoising steps of the decoder's estimate.
PREVIEW_STEPS = 3
# Prompts that are remembered.
CACHED_PROMPTS = 4096


def embed_in_space(
    space: str,
    pipe: Pipeline,
    cond: TextCondition,
    n: int,
    *,
    generator: Generators,
    sampling: PriorSampling = PriorSampling(),
) -> Float[Tensor, "k n d"]:
    """Return n embeddings in a space for each of k conditions; differentiable in the condition.

    In the text space all n are the same. Raises InputError for an unknown space, and for gradients
    through the decoder with a model that was loaded with offload=True.
    """
    one_of("space", space, SPACES)
    if space == "text":
        return cond.pooled.float()[:, None].expand(-1, n, -1)
    if space == "decoder" and pipe.offloader is not None and cond.pooled.requires_grad:
        raise InputError(
            "space is 'decoder' with a model loaded with offload=True, whose gradient needs all "
            "its networks on the device at once; expected 'prior' or 'text'"
        )
    z = pipe.sample_prior(cond, n, noise=generator, sampling=sampling)
    if space == "prior":
        return z
    pictures = pipe.decode(z, generator=generator, guidance=1.0, steps=PREVIEW_STEPS)
    return pipe.encode_images(pictures)


class CollectedImages:
    """Words as pictures: unit mean embeddings of n pictures drawn for each word.

    They are the paper's "collected pictures". Every prompt is drawn once and remembered.
    """

    def __init__(self, pipe: Pipeline, n: int = 16) -> None:
        self.pipe = pipe
        self.n = whole("n", n, 1)
        self.cache: Remembered[str, Tensor] = Remembered(CACHED_PROMPTS)

    @normal_tensors()
    def __call__(self, template: str, words: Sequence[str]) -> Float[Tensor, "m d"]:
        """Return one row for each word. No words give no rows.

        Raises InputError for a plain text in place of a list of words.
        """
        words = listed("words", words, 0)
        if not words:
            width = self.pipe.text_encoder.config.projection_dim
            return torch.empty(0, width, device=self.pipe.device)
        prompts = [fill(template, word) for word in words]
        found = self.cache.get_all(prompts, lambda new: map(self._mean, new))
        return torch.stack([found[prompt] for prompt in prompts])

    def _mean(self, prompt: str) -> Float[Tensor, " d"]:
        generator = seeded(0)
        with torch.no_grad():
            cond = self.pipe.encode_text([prompt])
            z = self.pipe.sample_prior(cond, self.n, noise=generator)
            pictures = self.pipe.decode(z, generator=generator)
            embeddings = normalize(self.pipe.encode_images(pictures)[0], dim=-1)
        return normalize(embeddings.mean(0), dim=-1)

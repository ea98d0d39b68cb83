"""Where ConceptLab's constraints compare: what the prior draws, as the method does, or the two places of its ablation (arXiv 2308.02669,
section 5.3).

- prior: image embeddings that the prior draws for the concept;
- text: the text encoder's output for the concept, without any prior (CLIP-ConceptLab);
- decoder: CLIP's embedding of the decoder's estimate of the clean picture, after a few steps (SD-ConceptLab).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError
from ..unclip.conditions import TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Generators, PriorSampling

SPACES = ("prior", "text", "decoder")
PREVIEW_STEPS = 3  # denoising steps of the decoder's estimate


def embed_in_space(
    space: str,
    pipe: Pipeline,
    cond: TextCondition,
    n: int,
    *,
    generator: Generators,
    sampling: PriorSampling = PriorSampling(),
) -> Float[Tensor, "k n d"]:
    """n embeddings for each of k conditions, as they are seen from a space; differentiable in the condition. In the text space all n are
    the same."""
    if space == "decoder" and pipe.offloader is not None and cond.pooled.requires_grad:
        raise InputError(
            "space is 'decoder' with a model loaded with offload=True, whose gradient needs all its networks on the device at "
            "once; expected prior and text"
        )
    if space == "text":
        return cond.pooled.float()[:, None].expand(-1, n, -1)
    z = pipe.sample_prior(cond, n, noise=generator, sampling=sampling)
    return (
        z
        if space == "prior"
        else pipe.encode_images(
            pipe.decode(z, generator=generator, guidance=1.0, steps=PREVIEW_STEPS)
        )
    )


class CollectedImages:
    """Words as pictures: the unit mean of CLIP's embeddings of n pictures drawn for each word. Every prompt is drawn once."""

    def __init__(self, pipe: Pipeline, n: int = 16) -> None:
        self.pipe = pipe
        self.n = n
        self.known = dict[str, Tensor]()

    def __call__(self, template: str, words: Sequence[str]) -> Float[Tensor, "m d"]:
        """One row for each word. No words give no rows."""
        for prompt in (template.format(word) for word in words):
            if prompt not in self.known:
                generator = torch.Generator().manual_seed(0)
                with torch.no_grad():
                    z = self.pipe.sample_prior(
                        self.pipe.encode_text([prompt]), self.n, noise=generator
                    )
                    seen = normalize(
                        self.pipe.encode_images(self.pipe.decode(z, generator=generator))[0], dim=-1
                    )
                self.known[prompt] = normalize(seen.mean(0), dim=-1)
        rows = [self.known[template.format(word)] for word in words]
        return (
            torch.stack(rows)
            if rows
            else torch.empty(
                0, self.pipe.text_encoder.config.projection_dim, device=self.pipe.device
            )
        )

"""An image embedding, free to go anywhere: what goes wrong without a text or a prior in the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..english import check_template, clean_word, fill
from ..errors import InputError, whole
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling
from .base import MOST_CONCEPTS, Concept


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingConcept(Concept):
    """k image embeddings. They know no prompt: a template changes nothing."""

    word: str
    vectors: Float[Tensor, "k d"]
    # Their root mean square at the start.
    scale: float
    kind = "embedding"

    @classmethod
    def init(
        cls,
        pipe: Pipeline,
        word: str,
        k: int = 1,
        generator: torch.Generator | None = None,
        template: str = "a photo of a {}",
    ) -> "EmbeddingConcept":
        """Start at k embeddings that the prior draws for the word.

        Raises InputError for a k that is not 1 to MOST_CONCEPTS, for a bad word or template, and
        without a generator.
        """
        whole("k", k, 1, MOST_CONCEPTS)
        word = clean_word("word", word)
        check_template(template)
        if generator is None:
            raise InputError("generator is None; free embeddings need one to be drawn with")
        with torch.no_grad():
            cond = pipe.encode_text([fill(template, word)])
            return cls.at(word, pipe.sample_prior(cond, k, noise=generator)[0])

    @classmethod
    def at(cls, word: str, vectors: Float[Tensor, "k d"]) -> "EmbeddingConcept":
        """Start at given embeddings, such as those of pictures."""
        vectors = vectors.float()
        return cls(word, vectors, vectors.square().mean().sqrt().item())

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {"vectors": self.vectors}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "EmbeddingConcept":
        return replace(self, vectors=tensors["vectors"])

    def sample(
        self,
        pipe: Pipeline,
        template: str,
        n: int,
        *,
        noise: NoiseSource,
        sampling: PriorSampling = PriorSampling(),
    ) -> Float[Tensor, "k n d"]:
        """Repeat each embedding n times; nothing is drawn."""
        return self.vectors[:, None].expand(-1, whole("n", n, 1), -1)

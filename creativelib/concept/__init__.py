"""What is optimised: a vector for a word, a small change of the prior, or an image embedding itself."""

from .base import KINDS, Concept, init, load
from .embedding import EmbeddingConcept
from .lora import LoraConcept
from .token import TokenConcept

__all__ = ["KINDS", "Concept", "EmbeddingConcept", "LoraConcept", "TokenConcept", "init", "load"]

"""What is optimized: a vector for a word, a small change of the prior, or an image embedding."""

from .base import KINDS, Concept
from .embedding import EmbeddingConcept
from .kinds import init, load
from .lora import LoraConcept
from .token import TokenConcept

__all__ = ["KINDS", "Concept", "EmbeddingConcept", "LoraConcept", "TokenConcept", "init", "load"]

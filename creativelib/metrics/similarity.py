"""How much pictures are like words, from embeddings of a model that knows both (ConceptLab, arXiv 2308.02669, section 5)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..errors import InputError


def positive_similarity(
    z: Float[Tensor, "n d"], positive: Float[Tensor, " d"]
) -> Float[Tensor, " n"]:
    """Each picture's cosine to the text of its category."""
    return cosine_similarity(z, positive[None], dim=-1)


def negative_distance(
    z: Float[Tensor, "n d"], positive: Float[Tensor, " d"], negatives: Float[Tensor, "m d"]
) -> Float[Tensor, " n"]:
    """How much more each picture is like its category than like the nearest of the negatives, as a difference of cosines.

    With the texts of all named members of the category as negatives it is the relative typicality of a picture: of the category rather than
    of something in it that has a name. Raises InputError without negatives.
    """
    if not len(negatives):
        raise InputError("negatives holds no texts; expected at least one")
    nearest = torch.stack([positive_similarity(z, negative) for negative in negatives]).amax(0)
    return positive_similarity(z, positive) - nearest

"""Similarity of pictures and texts, from embeddings of a model of both.

Source: ConceptLab (arXiv 2308.02669), section 5.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..errors import InputError


def positive_similarity(
    z: Float[Tensor, "n d"], positive: Float[Tensor, " d"]
) -> Float[Tensor, " n"]:
    """Compute the cosine of each picture and the text of its category."""
    return cosine_similarity(z, positive[None], dim=-1)


def negative_distance(
    z: Float[Tensor, "n d"], positive: Float[Tensor, " d"], negatives: Float[Tensor, "m d"]
) -> Float[Tensor, " n"]:
    """Subtract each picture's cosine to the nearest negative from that to its category.

    With the texts of all named members of the category as negatives, the difference is the relative
    typicality of a picture: it is like the category rather than like a member with a name. Raises
    InputError without negatives.
    """
    if not len(negatives):
        raise InputError("negatives holds no texts; expected at least one")
    nearest = torch.stack([positive_similarity(z, negative) for negative in negatives]).amax(0)
    return positive_similarity(z, positive) - nearest

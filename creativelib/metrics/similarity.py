"""Similarity of pictures and texts, from embeddings of a model of both.

Source: ConceptLab (arXiv 2308.02669), section 5.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .checks import check_embeddings


def positive_similarity(
    z: Float[Tensor, "n d"], positive: Float[Tensor, " d"]
) -> Float[Tensor, " n"]:
    """Compute the cosine of each picture and the text of its category.

    Raises InputError without pictures, and for numbers that are not finite.
    """
    check_embeddings("z", z)
    check_embeddings("positive", positive)
    return cosine_similarity(z, positive[None], dim=-1)


def negative_distance(
    z: Float[Tensor, "n d"], positive: Float[Tensor, " d"], negatives: Float[Tensor, "m d"]
) -> Float[Tensor, " n"]:
    """Subtract each picture's cosine to the nearest negative from that to its category.

    With the texts of all named members of the category as negatives, the difference is the relative
    typicality of a picture: it is like the category rather than like a member with a name. Raises
    InputError without negatives, and as `positive_similarity` does.
    """
    check_embeddings("negatives", negatives)
    nearest = torch.stack([positive_similarity(z, negative) for negative in negatives]).amax(0)
    return positive_similarity(z, positive) - nearest

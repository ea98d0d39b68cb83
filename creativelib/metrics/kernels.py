"""Distances of embeddings, and the Gaussian kernel that metrics of whole sets share."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, above
from ..fitting.precision import to_float64
from .checks import check_embeddings


def distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Compute all Euclidean distances of two sets, in float64 and without cancellation.

    Raises InputError for empty sets and numbers that are not finite.
    """
    check_embeddings("x", x)
    check_embeddings("y", y)
    return torch.cdist(to_float64(x), to_float64(y), compute_mode="donot_use_mm_for_euclid_dist")


def median_distance(reference: Float[Tensor, "m d"]) -> float:
    """Compute the median distance of two pictures of a set, the usual width of a Gaussian kernel.

    Taken from the reference alone, it is the same for every set that is compared with it, and
    follows the scale of the embeddings (Gretton et al., JMLR 2012, section 8, take it from both
    sets). Raises InputError for fewer than two pictures, and where most of them are equal.
    """
    check_embeddings("reference", reference, 2)
    m = len(reference)
    above_diagonal = torch.triu_indices(m, m, offset=1).unbind()
    width = distances(reference, reference)[above_diagonal].median().item()
    if not width:
        raise InputError(
            f"reference holds {m} embeddings, most of them equal; expected some that vary"
        )
    return width


def gaussian_kernel(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], width: float
) -> Float[Tensor, "n m"]:
    """Compute `exp(-|x - y|^2 / (2 width^2))` of all pairs; it is 1 for a picture and itself.

    Raises InputError for a width that is not above 0, and as `distances` does.
    """
    above("width", width, 0)
    return torch.exp(-distances(x, y).square() / (2 * width**2))

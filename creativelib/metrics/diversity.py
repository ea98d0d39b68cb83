"""Diversity of a set of pictures, from their embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError, above
from ..fitting.precision import to_float64


def vendi(z: Float[Tensor, "n d"], q: float = 1.0) -> float:
    """Compute the Vendi score: the effective number of different pictures, from 1 to n.

    It is 1 if all are alike and n if no two have anything in common (Friedman and Dieng, arXiv
    2210.02410; order q as in Pasarkar and Dieng, arXiv 2310.12952): the exponential of Rényi's
    entropy of order q of the eigenvalues of the matrix of cosines over n. A larger q counts common
    pictures more. The score grows with n, so compare sets of the same size.

    Raises InputError for an empty set and a q that is not above 0.
    """
    if not len(z):
        raise InputError("z holds no embeddings; expected at least one")
    above("q", q, 0)
    rows = normalize(to_float64(z), dim=-1)
    # Both matrices of products have the same eigenvalues up to zeros; the smaller one is faster.
    products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    share = torch.linalg.eigvalsh(products).clamp(min=0) / len(rows)
    share = share[share > 1e-12]
    if q == 1:
        return (-(share * share.log()).sum()).exp().item()
    return (share.pow(q).sum().log() / (1 - q)).exp().item()


def total_variance(z: Float[Tensor, "n d"]) -> float:
    """Compute the trace of the unbiased covariance.

    It is half the mean squared distance of two members of the set. Raises InputError for fewer
    than two.
    """
    if len(z) < 2:
        raise InputError(f"z holds {len(z)} embeddings; expected at least 2")
    return to_float64(z).var(0).sum().item()

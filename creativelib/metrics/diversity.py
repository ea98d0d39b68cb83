"""Diversity of a set of pictures, from their embeddings."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import at_least
from ..fitting.precision import to_float64
from .checks import check_embeddings

# Smaller shares of the whole are rounding errors of the eigenvalues.
ROUNDING = 1e-12


def vendi(z: Float[Tensor, "n d"], q: float = 1.0) -> float:
    """Compute the Vendi score: the effective number of different pictures, from 1 to n.

    It is 1 if all are alike and n if no two have anything in common (Friedman and Dieng, arXiv
    2210.02410; order q as in Pasarkar and Dieng, arXiv 2310.12952): the exponential of Rényi's
    entropy of order q of the eigenvalues of the matrix of cosines over n. A larger q counts common
    pictures more. Its limits are the number of eigenvalues that are not 0, which is the rank, at
    q = 0; Shannon's entropy at q = 1; and 1 over the largest eigenvalue at q = math.inf. The score
    grows with n, so compare sets of the same size.

    Raises InputError for an empty set, numbers that are not finite, and a q below 0.
    """
    check_embeddings("z", z)
    if q != math.inf:
        q = at_least("q", q, 0)
    rows = normalize(to_float64(z), dim=-1)
    # Both matrices of products have the same eigenvalues up to zeros; the smaller one is faster.
    products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    share = torch.linalg.eigvalsh(products).clamp(min=0) / len(rows)
    return _renyi_entropy(share[share > ROUNDING], q).exp().item()


def _renyi_entropy(share: Float[Tensor, " k"], q: float) -> Float[Tensor, ""]:
    """Compute Rényi's entropy of shares above 0 with the sum 1, in nats, for q from 0 to inf."""
    largest = share.max()
    if q == math.inf:
        return -largest.log()
    if q == 1:
        return -(share * share.log()).sum()
    if q < 2:
        # The sum of share**q, minus the 1 that it is at q = 1, where both are divided by 0.
        return (share * torch.expm1((q - 1) * share.log())).sum().log1p() / (1 - q)
    # A large q would take every power to 0, but not those of shares of the largest.
    powers = (q * (share / largest).log()).exp().sum()
    return (powers.log() / q + largest.log()) * (q / (1 - q))


def total_variance(z: Float[Tensor, "n d"]) -> float:
    """Compute the trace of the unbiased covariance.

    It is half the mean squared distance of two members of the set. Raises InputError for fewer
    than two, and for numbers that are not finite.
    """
    check_embeddings("z", z, 2)
    return to_float64(z).var(0).sum().item()

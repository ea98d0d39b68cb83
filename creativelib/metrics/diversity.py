"""How varied a set of pictures is, from their embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError


def vendi(z: Float[Tensor, "n d"], q: float = 1.0) -> float:
    """The Vendi score: how many things that have nothing in common the set is worth, from 1 (all alike) to n (Friedman and Dieng,
    arXiv 2210.02410; order q as in Pasarkar and Dieng, arXiv 2310.12952).

    The exponential of Rényi's entropy of order q of the eigenvalues of the cosines over n; a larger q counts common things more. It grows
    with n: compare sets of the same size. Raises InputError for an empty set and a q that is not above 0.
    """
    if not len(z):
        raise InputError("z holds no embeddings; expected at least one")
    if not q > 0:
        raise InputError(f"q is {q}; expected a number above 0")
    rows = normalize(z.double(), dim=-1)
    # The smaller of the two matrices of products has the same eigenvalues but for zeros.
    small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    share = torch.linalg.eigvalsh(small).clamp(min=0) / len(rows)
    share = share[share > 1e-12]
    if q == 1:
        return (-(share * share.log()).sum()).exp().item()
    return (share.pow(q).sum().log() / (1 - q)).exp().item()


def total_variance(z: Float[Tensor, "n d"]) -> float:
    """The trace of the covariance, unbiased: half the mean squared distance of two of the set. Raises InputError for fewer than two."""
    if len(z) < 2:
        raise InputError(f"z holds {len(z)} embeddings; expected at least 2")
    return z.double().var(0).sum().item()

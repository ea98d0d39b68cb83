"""Novelty of drawn pictures against a reference set, from their embeddings by one encoder.

Broken pictures are far from everything, too, so novelty means something only together with
validity. `Density.surprisal` measures how improbable a picture is.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, above, whole
from ..fitting.precision import to_float64
from .checks import check_embeddings
from .kernels import distances, gaussian_kernel, median_distance

# Smaller eigenvalues of a set's covariance are rounding errors.
ROUNDING = 1e-12


def nearest_distance(
    z: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 1
) -> Float[Tensor, " n"]:
    """Compute the distance to the k-th nearest reference picture, in the embeddings' units.

    k = 1 is nearest-neighbor novelty. The reference must not hold the pictures themselves. Raises
    InputError for a k that is not between 1 and the size of the reference, for empty sets, and for
    numbers that are not finite.
    """
    check_embeddings("z", z)
    check_embeddings("reference", reference)
    whole("k", k, 0)
    if not 1 <= k <= len(reference):
        raise InputError(
            f"k is {k}; expected 1 to the number of reference pictures, {len(reference)}"
        )
    return distances(z, reference).kthvalue(k).values.to(z)


def rarity_scores(
    drawn: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int = 3
) -> Float[Tensor, " n"]:
    """Compute each drawn picture's rarity score (Han et al., arXiv 2206.08549).

    Around each real picture lies a ball that reaches to its k-th nearest; where real pictures are
    rare, balls are large. The score is the radius of the smallest ball that holds the picture, in
    the embeddings' units. Outside all balls it is not defined, and NaN: such pictures are no rare
    ones of the world but others, new or broken, and the paper leaves them out.

    The paper's balls are open; here they hold their border, as in `fidelity`, whose precision is
    the share of pictures that have a score. Raises InputError unless k is at least 1 and `real`
    holds more than k pictures, for no drawn pictures, and for numbers that are not finite.
    """
    whole("k", k, 1)
    check_embeddings("drawn", drawn)
    check_embeddings("real", real, k + 1)
    # The nearest of its own set is the picture itself, hence k + 1.
    radius = distances(real, real).kthvalue(k + 1).values
    holds = distances(drawn, real) <= radius
    smallest = torch.where(holds, radius, math.inf).amin(1)
    return torch.where(smallest.isinf(), math.nan, smallest).to(drawn)


def authenticity(drawn: Float[Tensor, "n d"], training: Float[Tensor, "m d"]) -> float:
    """Compute the share of drawn pictures that copy no training picture (Alaa, arXiv 2102.08921).

    A picture is authentic if it is farther from its nearest training picture than that one is from
    its own nearest. Not all fresh pictures of the training distribution are: a smaller share than
    theirs is a sign of copying, a larger one of pictures off the manifold, new or broken.

    The paper measures in an embedding that it trains for one class; here it is the caller's. Its
    released code goes from each training picture to its nearest drawn one, ours as the paper says.
    Raises InputError for no drawn and fewer than two training pictures, and for numbers that are
    not finite.
    """
    check_embeddings("drawn", drawn)
    check_embeddings("training", training, 2)
    nearest = distances(drawn, training).min(1)
    # The nearest of its own set is the picture itself, hence 2.
    own = distances(training, training).kthvalue(2).values
    return (nearest.values > own[nearest.indices]).double().mean().item()


def ken(
    drawn: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], eta: float | None = None
) -> float:
    """Compute the kernel-based entropic novelty, KEN (Zhang, Li and Farnia, arXiv 2402.17287).

    It counts modes that the drawn pictures show more than `eta` times as often as the reference. Of
    C - eta C', the difference of the two sets' covariances in the features of a Gaussian kernel,
    the positive eigenvalues are how much more often, mode by mode. With their sum S, the score is
    the sum of their value * log(S / value): S times the entropy of the modes' shares, in nats. So
    copies of one picture score 0, however new it is, and modes score the more, the more of them
    there are and the more evenly they are shown.

    The released code is given `eta`, such as 1 or 5, and the kernel's width by hand, for thousands
    of pictures. Here the width is the median distance of two reference pictures, and `eta` by
    default m / n, at least 1: the smallest at which any n of the reference's pictures score 0. With
    1, few pictures score for being few. Compare sets of the same size only.

    Raises InputError for an eta that is not above 0, no drawn pictures, fewer than two reference
    pictures, and for numbers that are not finite.
    """
    check_embeddings("drawn", drawn)
    check_embeddings("reference", reference, 2)
    n = len(drawn)
    m = len(reference)
    times = max(1.0, m / n) if eta is None else above("eta", eta, 0)
    width = median_distance(reference)
    both = torch.cat([to_float64(drawn), to_float64(reference)])
    weights = torch.tensor([1 / n] * n + [-times / m] * m, dtype=torch.float64)
    # With the kernel as root @ root.T, the difference of covariances has the eigenvalues of this.
    values, vectors = torch.linalg.eigh(gaussian_kernel(both, both, width))
    root = vectors * values.where(values > ROUNDING * len(both), 0).sqrt()
    found = torch.linalg.eigvalsh(root.T @ (weights[:, None].to(root) * root))
    novel = found[found > ROUNDING]
    return (novel * (novel.sum() / novel).log()).sum().item()

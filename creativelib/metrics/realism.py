"""How alike two sets of pictures are, from their embeddings in some encoder's eyes.

Two sets of the same pictures are alike by every one of these, so by themselves they reward copying: compare with pictures that whoever drew
was not shown.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Fidelity:
    """Shares in [0, 1], but `density`, which can be larger.

    precision: of what was drawn, how much lies among the real (Kynkäänniemi et al., arXiv 1904.06991); recall: of the real, how much lies
    among what was drawn. density: how many real pictures' neighbourhoods what was drawn lies in, on average, by their size k; coverage: of
    the real, how many have something drawn in their neighbourhood (Naeem et al., arXiv 2002.09797).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(drawn: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int = 5) -> Fidelity:
    """Compare what was drawn with what is real; a neighbourhood reaches to the k-th nearest of the same set.

    Raises InputError unless both sets hold more than k.
    """
    for name, rows in (("drawn", drawn), ("real", real)):
        if len(rows) <= k:
            raise InputError(f"{name} holds {len(rows)} pictures; expected more than k = {k}")
    drawn = drawn.double()
    real = real.double()
    apart = torch.cdist(drawn, real, compute_mode="donot_use_mm_for_euclid_dist")  # (n, m)
    around_drawn, around_real = (
        torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").kthvalue(k + 1).values
        for rows in (drawn, real)
    )
    inside = apart <= around_real
    return Fidelity(
        precision=inside.any(1).double().mean().item(),
        recall=(apart <= around_drawn[:, None]).any(0).double().mean().item(),
        density=inside.sum(1).double().mean().item() / k,
        coverage=inside.any(0).double().mean().item(),
    )


def frechet(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """The squared Fréchet distance of two Gaussians fitted to the sets (FID, Heusel et al., arXiv 1706.08500), by torch-fidelity.

    Few pictures make it larger: compare sets of the same size only. Raises InputError for sets of fewer than two.
    """
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    for name, rows in (("a", a), ("b", b)):
        if len(rows) < 2:
            raise InputError(f"{name} holds {len(rows)} pictures; expected at least 2")
    one, other = (fid_features_to_statistics(rows.double().cpu()) for rows in (a, b))
    return fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID]


@dataclass(frozen=True)
class Kid:
    """An unbiased estimate, which can be below 0, and its standard error."""

    value: float
    error: float


def kid(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Kid:
    """The kernel distance of two sets (KID, Bińkowski et al., arXiv 1801.01401): the squared maximum mean discrepancy under the kernel
    (x'y / d + 1)^3, of all pairs. Unlike FID it does not grow as pictures get fewer.

    The standard error is the jackknife's: what leaving out one picture changes. Raises InputError for sets of fewer than three.
    """
    for name, rows in (("a", a), ("b", b)):
        if len(rows) < 3:
            raise InputError(f"{name} holds {len(rows)} pictures; expected at least 3")
    a = a.double()
    b = b.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    across = kernel(a, b)
    n = len(a)
    m = len(b)
    inside = [
        (k := kernel(x, x)).sum(1) - k.diagonal() for x in (a, b)
    ]  # of each picture with the others of its set

    def estimate(of_a: Tensor, of_b: Tensor, cross: Tensor, n: int, m: int) -> Tensor:
        return of_a / (n * (n - 1)) + of_b / (m * (m - 1)) - 2 * cross / (n * m)

    sums = inside[0].sum(), inside[1].sum(), across.sum()
    without_a = estimate(sums[0] - 2 * inside[0], sums[1], sums[2] - across.sum(1), n - 1, m)
    without_b = estimate(sums[0], sums[1] - 2 * inside[1], sums[2] - across.sum(0), n, m - 1)
    variance = sum(
        (k - 1) / k * (left - left.mean()).square().sum()
        for k, left in ((n, without_a), (m, without_b))
    )
    return Kid(estimate(*sums, n, m).item(), float(variance) ** 0.5)

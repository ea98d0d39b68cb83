"""Similarity of two sets of pictures, from their embeddings by one encoder.

Every metric here is best for two sets of the same pictures, so by itself it rewards copying.
Compare with pictures that the model was not shown.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, whole
from ..fitting.precision import to_float64


@dataclass(frozen=True)
class Fidelity:
    """Four shares of pictures, in [0, 1] except `density`, which can be larger.

    Precision and recall are from Kynkäänniemi et al. (arXiv 1904.06991), density and coverage from
    Naeem et al. (arXiv 2002.09797).
    """

    # Share of the drawn pictures that lie in the neighborhood of a real one.
    precision: float
    # Share of the real pictures that lie in the neighborhood of a drawn one.
    recall: float
    # Mean number of real pictures' neighborhoods that a drawn picture lies in, divided by k.
    density: float
    # Share of the real pictures with a drawn one in their neighborhood.
    coverage: float


def fidelity(drawn: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int = 5) -> Fidelity:
    """Compare drawn with real pictures.

    The neighborhood of a picture reaches to the k-th nearest of the same set. Raises InputError
    unless k is at least 1 and both sets hold more than k pictures.
    """
    whole("k", k, 1)
    for name, rows in (("drawn", drawn), ("real", real)):
        if len(rows) <= k:
            raise InputError(f"{name} holds {len(rows)} pictures; expected more than k = {k}")
    drawn = to_float64(drawn)
    real = to_float64(real)

    def distances(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")

    # The nearest of its own set is the picture itself, hence k + 1.
    drawn_radius = distances(drawn, drawn).kthvalue(k + 1).values
    real_radius = distances(real, real).kthvalue(k + 1).values
    across = distances(drawn, real)  # (n, m)
    near_real = across <= real_radius
    near_drawn = across <= drawn_radius[:, None]
    return Fidelity(
        precision=near_real.any(1).double().mean().item(),
        recall=near_drawn.any(0).double().mean().item(),
        density=near_real.sum(1).double().mean().item() / k,
        coverage=near_real.any(0).double().mean().item(),
    )


def frechet(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Compute the squared Fréchet distance of two Gaussians fitted to the sets, by torch-fidelity.

    This is the FID (Heusel et al., arXiv 1706.08500). Few pictures make it larger, so compare sets
    of the same size only. Raises InputError for sets of fewer than two.
    """
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    for name, rows in (("a", a), ("b", b)):
        if len(rows) < 2:
            raise InputError(f"{name} holds {len(rows)} pictures; expected at least 2")
    of_a = fid_features_to_statistics(to_float64(a).cpu())
    of_b = fid_features_to_statistics(to_float64(b).cpu())
    return fid_statistics_to_metric(of_a, of_b, verbose=False)[KEY_METRIC_FID]


@dataclass(frozen=True)
class Kid:
    """An unbiased estimate, which can be below 0, and its standard error."""

    value: float
    error: float


def kid(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Kid:
    """Compute the kernel distance of two sets (KID, Bińkowski et al., arXiv 1801.01401).

    It is the squared maximum mean discrepancy under the kernel (x'y / d + 1)^3, over all pairs.
    Unlike FID, it does not grow as pictures get fewer. The standard error is the jackknife's: each
    picture in turn is left out. Raises InputError for sets of fewer than three.
    """
    for name, rows in (("a", a), ("b", b)):
        if len(rows) < 3:
            raise InputError(f"{name} holds {len(rows)} pictures; expected at least 3")
    a = to_float64(a)
    b = to_float64(b)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def with_others(x: Tensor) -> Tensor:
        """Sum the kernel of each picture with the others of its set."""
        values = kernel(x, x)
        return values.sum(1) - values.diagonal()

    def estimate(of_a: Tensor, of_b: Tensor, cross: Tensor, n: int, m: int) -> Tensor:
        return of_a / (n * (n - 1)) + of_b / (m * (m - 1)) - 2 * cross / (n * m)

    def jackknife_variance(values: Tensor) -> Tensor:
        k = len(values)
        return (k - 1) / k * (values - values.mean()).square().sum()

    n = len(a)
    m = len(b)
    across = kernel(a, b)
    within_a = with_others(a)
    within_b = with_others(b)
    sum_a = within_a.sum()
    sum_b = within_b.sum()
    sum_across = across.sum()
    # One estimate for each picture that is left out.
    without_a = estimate(sum_a - 2 * within_a, sum_b, sum_across - across.sum(1), n=n - 1, m=m)
    without_b = estimate(sum_a, sum_b - 2 * within_b, sum_across - across.sum(0), n=n, m=m - 1)
    variance = jackknife_variance(without_a) + jackknife_variance(without_b)
    value = estimate(sum_a, sum_b, sum_across, n=n, m=m)
    return Kid(value.item(), float(variance) ** 0.5)

"""Similarity of two sets of pictures, from their embeddings by one encoder.

Every metric here is best for two sets of the same pictures, so by itself it rewards copying.
Compare with pictures that the model was not shown.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..errors import whole
from ..fitting.precision import to_float64
from .checks import check_embeddings
from .kernels import distances, gaussian_kernel, median_distance


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
    unless k is at least 1 and both sets hold more than k pictures, and for numbers that are not
    finite.
    """
    whole("k", k, 1)
    check_embeddings("drawn", drawn, k + 1)
    check_embeddings("real", real, k + 1)
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

    Of embeddings by Inception this is the FID (Heusel et al., arXiv 1706.08500). Other embeddings
    have other scales, so values are comparable only in the eyes of one encoder. Few pictures make
    it larger: compare sets of the same size only. Raises InputError for sets of fewer than two, and
    for numbers that are not finite.
    """
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    check_embeddings("a", a, 2)
    check_embeddings("b", b, 2)
    of_a = fid_features_to_statistics(to_float64(a).cpu())
    of_b = fid_features_to_statistics(to_float64(b).cpu())
    return fid_statistics_to_metric(of_a, of_b, verbose=False)[KEY_METRIC_FID]


@dataclass(frozen=True)
class Cmmd:
    """An unbiased estimate, which can be below 0, and its standard error."""

    value: float
    error: float


def cmmd(drawn: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]) -> Cmmd:
    """Compute the squared maximum mean discrepancy of two sets under a Gaussian kernel.

    On embeddings by CLIP it is the CMMD (Jayasumana et al., arXiv 2401.09603). It sees a shift, a
    set that is too narrow, and copies; unlike the Fréchet distance, it does not grow as pictures
    get fewer. The kernel's width is the median distance of two reference pictures. The paper's is
    10 for its embeddings; among embeddings of length 1, no two of which are farther apart than 2,
    such a kernel is nearly linear and compares little but means, as does KID's (x'y / d + 1)^3. The
    paper also takes the biased estimate, times 1000; here it is unbiased, over all pairs.

    The standard error is the jackknife's: each picture in turn is left out. Raises InputError for
    sets of fewer than three, a reference most of whose pictures are equal, and numbers that are not
    finite.
    """
    check_embeddings("drawn", drawn, 3)
    check_embeddings("reference", reference, 3)
    width = median_distance(reference)

    def with_others(x: Tensor) -> Tensor:
        """Sum the kernel of each picture with the others of its set."""
        return gaussian_kernel(x, x, width).sum(1) - 1

    def estimate(of_drawn: Tensor, of_reference: Tensor, cross: Tensor, n: int, m: int) -> Tensor:
        return of_drawn / (n * (n - 1)) + of_reference / (m * (m - 1)) - 2 * cross / (n * m)

    def jackknife_variance(values: Tensor) -> Tensor:
        k = len(values)
        return (k - 1) / k * (values - values.mean()).square().sum()

    n = len(drawn)
    m = len(reference)
    across = gaussian_kernel(drawn, reference, width)
    within_drawn = with_others(drawn)
    within_reference = with_others(reference)
    sum_drawn = within_drawn.sum()
    sum_reference = within_reference.sum()
    cross = across.sum()
    # One estimate for each picture that is left out.
    without_drawn = estimate(
        sum_drawn - 2 * within_drawn, sum_reference, cross - across.sum(1), n=n - 1, m=m
    )
    without_reference = estimate(
        sum_drawn, sum_reference - 2 * within_reference, cross - across.sum(0), n=n, m=m - 1
    )
    variance = jackknife_variance(without_drawn) + jackknife_variance(without_reference)
    value = estimate(sum_drawn, sum_reference, cross, n=n, m=m)
    return Cmmd(value.item(), float(variance) ** 0.5)

"""Divergence of drawn from reference pictures: a Gaussian is fitted to each set of embeddings.

It is in nats. A covariance of d dimensions from few pictures is shrunk (Ledoit and Wolf 2004) and
still has an error, so two sets of the same distribution differ as well. `excess_over_floor`
subtracts that difference.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from ..errors import InputError
from ..fitting.precision import to_float64
from .checks import check_embeddings


def fitted(z: Float[Tensor, "n d"], name: str = "z") -> MultivariateNormal:
    """Fit a Gaussian with a shrunk covariance, in float64.

    Raises InputError, which calls the embeddings by their name, for fewer than 3, for embeddings
    that do not vary, and for numbers that are not finite.
    """
    from sklearn.covariance import ledoit_wolf

    check_embeddings(name, z, 3)
    z = to_float64(z).cpu()
    covariance = torch.from_numpy(ledoit_wolf(z.numpy())[0])
    if covariance.trace() <= 1e-12:
        raise InputError(
            f"{name} holds {len(z)} embeddings that are all equal; a Gaussian needs some that vary"
        )
    return MultivariateNormal(z.mean(0), covariance)


def gaussian_kl(drawn: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]) -> float:
    """Compute the Kullback-Leibler divergence of the drawn Gaussian from the reference Gaussian.

    It is in closed form, in nats. Raises InputError as `fitted` does.
    """
    return kl_divergence(fitted(drawn, "drawn"), fitted(reference, "reference")).item()


def excess_over_floor(
    divergence: Callable[[Tensor, Tensor], float],
    drawn: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    floor_samples: Float[Tensor, "s n2 d"],
) -> float:
    """Subtract from a divergence its floor, the mean over typical samples.

    Each of the `floor_samples` holds as many typical pictures as were drawn. The excess of a method
    that changes nothing is 0 on average over its runs, up to the error of the floor's mean: with
    one sample, all runs would share that sample's luck. Raises InputError for samples of another
    size, no samples, and numbers that are not finite.
    """
    check_embeddings("drawn", drawn)
    check_embeddings("reference", reference)
    check_embeddings("floor_samples", floor_samples)
    if floor_samples.shape[1] != len(drawn):
        raise InputError(
            f"floor_samples holds samples of {floor_samples.shape[1]} embeddings; expected as many "
            f"as drawn, {len(drawn)}, because smaller sets have a larger divergence"
        )
    floors = [divergence(sample, reference) for sample in floor_samples]
    return divergence(drawn, reference) - sum(floors) / len(floors)

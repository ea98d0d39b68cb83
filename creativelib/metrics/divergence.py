"""Divergences between drawn and reference pictures: a Gaussian is fitted to each set of embeddings.

Both divergences are in nats. A covariance of d dimensions from few pictures is shrunk (Ledoit and
Wolf 2004) and still has an error, so two sets of the same distribution differ as well.
`excess_over_floor` subtracts that difference.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from ..errors import InputError, whole
from ..fitting.precision import to_float64


def fitted(z: Float[Tensor, "n d"]) -> MultivariateNormal:
    """Fit a Gaussian with a shrunk covariance, in float64.

    Raises InputError for fewer than 3 embeddings and for embeddings that do not vary.
    """
    from sklearn.covariance import ledoit_wolf

    if len(z) < 3:
        raise InputError(f"z holds {len(z)} embeddings; a Gaussian needs at least 3")
    z = to_float64(z).cpu()
    covariance = torch.from_numpy(ledoit_wolf(z.numpy())[0])
    if covariance.trace() <= 1e-12:
        raise InputError(
            f"z holds {len(z)} embeddings that are all equal; a Gaussian needs some that vary"
        )
    return MultivariateNormal(z.mean(0), covariance)


def gaussian_kl(drawn: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]) -> float:
    """Compute the Kullback-Leibler divergence of the drawn Gaussian from the reference Gaussian.

    It is in closed form, in nats.
    """
    return kl_divergence(fitted(drawn), fitted(reference)).item()


def gaussian_js(
    drawn: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    *,
    generator: torch.Generator,
    draws: int = 20_000,
) -> float:
    """Estimate the Jensen-Shannon divergence of the two Gaussians, between 0 and log 2 nats.

    Their mixture is not a Gaussian, so the estimate is a mean over `draws` samples of each, with a
    standard error of at most 0.005 at the default. Raises InputError for no draws.
    """
    whole("draws", draws, 1)

    def half(own: MultivariateNormal, other: MultivariateNormal) -> float:
        white = torch.randn(draws, len(own.loc), generator=generator, dtype=torch.float64)
        x = own.loc + white @ own.scale_tril.T
        both = torch.stack([own.log_prob(x), other.log_prob(x)])
        return (both[0] - both.logsumexp(0) + math.log(2)).mean().item()

    p = fitted(drawn)
    q = fitted(reference)
    return (half(p, q) + half(q, p)) / 2


def excess_over_floor(
    divergence: Callable[[Tensor, Tensor], float],
    drawn: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    floor_sample: Float[Tensor, "n2 d"],
) -> float:
    """Subtract from a divergence that of a typical sample, which is its floor.

    `floor_sample` holds as many typical pictures as were drawn. The excess is about 0 for a method
    that changes nothing. Raises InputError for another number of pictures.
    """
    if len(floor_sample) != len(drawn):
        raise InputError(
            f"floor_sample holds {len(floor_sample)} embeddings; expected as many as drawn, "
            f"{len(drawn)}, because smaller sets have a larger divergence"
        )
    return divergence(drawn, reference) - divergence(floor_sample, reference)

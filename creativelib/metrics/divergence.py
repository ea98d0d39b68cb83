"""How far what was drawn is from what was seen, as distributions of embeddings: a Gaussian is fitted to each.

Both divergences are in nats. A covariance of d dimensions from few pictures is shrunk (Ledoit and Wolf 2004), and is still off: two sets of
the same distribution differ as well. `above_floor` takes that off.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from ..errors import InputError


def fitted(z: Float[Tensor, "n d"]) -> MultivariateNormal:
    """A Gaussian with a shrunk covariance, in float64. Raises InputError for fewer than 3 embeddings or such as do not vary."""
    from sklearn.covariance import ledoit_wolf

    if len(z) < 3:
        raise InputError(f"z holds {len(z)} embeddings; a Gaussian needs at least 3")
    z = z.double().cpu()
    covariance = torch.from_numpy(ledoit_wolf(z.numpy())[0])
    if covariance.trace() <= 1e-12:
        raise InputError(
            f"z holds {len(z)} embeddings that are all equal; a Gaussian needs some that vary"
        )
    return MultivariateNormal(z.mean(0), covariance)


def gaussian_kl(drawn: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]) -> float:
    """The Kullback-Leibler divergence of the Gaussian of what was drawn from that of what was seen, in closed form."""
    return kl_divergence(fitted(drawn), fitted(reference)).item()


def gaussian_js(
    drawn: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    *,
    generator: torch.Generator,
    draws: int = 20_000,
) -> float:
    """The Jensen-Shannon divergence of the two Gaussians, between 0 and log 2 nats.

    Their mixture is no Gaussian, so it is a mean over `draws` samples of each, with a standard error of at most 0.005 at the default.
    """

    def half(own: MultivariateNormal, other: MultivariateNormal) -> float:
        white = torch.randn(draws, len(own.loc), generator=generator, dtype=torch.float64)
        x = own.loc + white @ own.scale_tril.T
        both = torch.stack([own.log_prob(x), other.log_prob(x)])
        return (both[0] - both.logsumexp(0) + math.log(2)).mean().item()

    one = fitted(drawn)
    other = fitted(reference)
    return (half(one, other) + half(other, one)) / 2


def excess_over_floor(
    divergence: Callable[[Tensor, Tensor], float],
    drawn: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    floor_sample: Float[Tensor, "n2 d"],
) -> float:
    """A divergence less that of `again`, another set of what is usually drawn, of as many pictures: 0 for a method that changes nothing.

    Raises InputError if there are not as many.
    """
    if len(floor_sample) != len(drawn):
        raise InputError(
            f"again holds {len(floor_sample)} embeddings; expected as many as were drawn, {len(drawn)}: fewer look farther off"
        )
    return divergence(drawn, reference) - divergence(floor_sample, reference)

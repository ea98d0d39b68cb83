"""A Gaussian in the principal components: the density of Song and Elgammal (arXiv 2601.22125)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Density, Subspace
from .moments import Moments, to_float64

KEPT = 20_000  # surprisals of a stream's samples that are kept for quantiles


@dataclass(frozen=True, eq=False)
class GaussianDensity(Density):
    """A Gaussian with a full covariance over q principal components, and an isotropic one over the other directions."""

    subspace: Subspace
    covariance: Float[Tensor, "q q"]
    fit_surprisal: Float[Tensor, " n"]
    kind = "gaussian"

    @classmethod
    def fit(
        cls, z: Float[Tensor, "*b d"], pca: float = 0.95, residual: bool = True
    ) -> "GaussianDensity":
        """Fit to image embeddings; all leading axes count samples.

        `pca` is the share of the variance that the kept components explain, in (0, 1]. The covariance in the subspace is shrunk towards
        a multiple of the identity by Ledoit and Wolf's estimate (2004), which needs no tuning and vanishes with many samples.
        Raises InputError for a share out of range, fewer than 3 samples, values that are not finite, samples that do not vary, and with
        `residual`, for samples that vary in the kept components only.
        """
        from sklearn.covariance import ledoit_wolf

        z = to_float64(z).cpu().reshape(-1, z.shape[-1])
        space = Subspace.fit(Moments.of(z), pca, residual)
        covariance = z.new_tensor(ledoit_wolf(space.project(z).numpy(), assume_centered=True)[0])
        density = cls(space, covariance, z.new_zeros(0))
        return replace(density, fit_surprisal=density.surprisal(z).sort().values)

    @classmethod
    def fit_stream(
        cls,
        parts: Iterable[Tensor],
        again: Iterable[Tensor],
        pca: float = 0.95,
        residual: bool = True,
    ) -> "GaussianDensity":
        """Fit to more samples than memory holds.

        `parts` (*b d) is gone through once for the moments; then `again`, the same samples or as many of them as are to count, for the
        surprisals behind quantiles, of which one in so many is kept. Not shrunk: with that many samples shrinkage vanishes. Raises
        InputError as `fit` does.
        """
        space = Subspace.fit(Moments.stream(parts), pca, residual)
        density = cls(space, space.variances.diag(), space.mean.new_zeros(0))
        found = torch.cat(
            [
                density.surprisal(to_float64(part).reshape(-1, part.shape[-1])).cpu()
                for part in again
            ]
        )
        return replace(density, fit_surprisal=found[:: math.ceil(len(found) / KEPT)].sort().values)

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Log-density in nats; differentiable."""
        inside = self.subspace.project(z)
        square = self._white(inside).square().sum(-1)
        value = -0.5 * (square + inside.shape[-1] * math.log(2 * math.pi) + self._logdet)
        return (value + self.subspace.residual_log_prob(z, inside)).to(z)

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Gradient of the log-density with respect to the embedding, in closed form."""
        inside = self.subspace.project(z)
        value = -inside @ self._pull.to(inside.device)
        return (value + self.subspace.residual_score(z, inside)).to(z)

    def whiten(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Coordinates in the subspace in which the density is a standard normal one."""
        return self._white(self.subspace.project(z)).to(z)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64; without a residual they lie in the subspace."""
        white = torch.randn(n, len(self.covariance), generator=generator, dtype=torch.float64)
        return self.subspace.reconstruct(
            white @ torch.linalg.cholesky(self.covariance.cpu()).T, generator
        )

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {"covariance": self.covariance}

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "GaussianDensity":
        return cls(
            Subspace.from_state_dict(tensors), tensors["covariance"], tensors["fit_surprisal"]
        )

    def _white(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b q"]:
        factor = self._factor.to(inside.device)
        return torch.linalg.solve_triangular(
            factor, inside.reshape(-1, inside.shape[-1]).T, upper=False
        ).T.reshape(inside.shape)

    @cached_property
    def _factor(self) -> Float[Tensor, "q q"]:
        return torch.linalg.cholesky(self.covariance)

    @cached_property
    def _logdet(self) -> float:
        return self.covariance.logdet().item()

    @cached_property
    def _pull(self) -> Float[Tensor, "q d"]:
        return torch.linalg.solve(self.covariance, self.subspace.axes)

"""A Gaussian in the principal components: the density of Song and Elgammal (arXiv 2601.22125)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import whole
from ..fitting.precision import to_float64
from ..sharing import normal_tensors
from .base import Density
from .folds import held_out_surprisal
from .moments import Moments
from .subspace import Subspace

# Most surprisals of a stream that are stored for quantiles.
MAX_SURPRISALS = 20_000


@dataclass(frozen=True, eq=False, repr=False)
class GaussianDensity(Density):
    """A Gaussian over q principal components, times an isotropic one over the other directions."""

    # Principal components of the samples.
    subspace: Subspace
    # Full covariance of the coordinates in the components.
    covariance: Float[Tensor, "q q"]
    # Surprisals of samples in nats, sorted, by fits that have not seen them.
    fit_surprisal: Float[Tensor, " n"]
    kind = "gaussian"

    @classmethod
    @normal_tensors()
    def fit(
        cls, z: Float[Tensor, "*b d"], pca: float = 0.95, residual: bool = True
    ) -> "GaussianDensity":
        """Fit to image embeddings; all leading axes count samples.

        `pca` is the share of the variance that the components explain, in (0, 1]. The covariance
        in the subspace is shrunk towards a multiple of the identity by Ledoit and Wolf's estimate
        (2004), which needs no tuning and vanishes with many samples. Quantiles come from samples
        that a fit has not seen, see `folds`.

        Raises InputError for a share out of range, fewer than 3 samples, values that are not
        finite, and samples that do not vary. With `residual`, it also raises for samples that vary
        in the components only.
        """
        z = to_float64(z).cpu().reshape(-1, z.shape[-1])
        density = cls._shrunk(z, Subspace.fit(Moments.of(z), pca, residual))
        surprisal = held_out_surprisal(z, density, residual, cls._shrunk)
        return replace(density, fit_surprisal=surprisal)

    @classmethod
    def _shrunk(cls, z: Float[Tensor, "n d"], space: Subspace) -> "GaussianDensity":
        """Fit a shrunk covariance in a subspace, without quantiles."""
        from sklearn.covariance import ledoit_wolf

        covariance = z.new_tensor(ledoit_wolf(space.project(z).numpy(), assume_centered=True)[0])
        return cls(space, covariance, z.new_zeros(0))

    @classmethod
    @normal_tensors()
    def fit_stream(
        cls,
        parts: Iterable[Tensor],
        again: Iterable[Tensor],
        pca: float = 0.95,
        residual: bool = True,
    ) -> "GaussianDensity":
        """Fit to more samples than memory holds.

        One pass over `parts` (*b d) gives the moments. One pass over `again` gives the surprisals
        behind quantiles; evenly spaced ones are stored. It holds samples of the same kind, which
        the fit has not seen, or the same ones or some of them: the q (q + 3) / 2 numbers of the fit
        make those less surprising by about as many nats, divided by their number. The covariance is
        not shrunk: with that many samples shrinkage vanishes. Raises InputError as `fit` does.
        """
        space = Subspace.fit(Moments.stream(parts), pca, residual)
        density = cls(space, space.variances.diag(), space.mean.new_zeros(0))
        surprisals = torch.cat(
            [
                density.surprisal(to_float64(part).reshape(-1, part.shape[-1])).cpu()
                for part in again
            ]
        )
        stride = math.ceil(len(surprisals) / MAX_SURPRISALS)
        return replace(density, fit_surprisal=surprisals[::stride].sort().values)

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return the log-density in nats; differentiable."""
        inside = self.subspace.project(z)
        square = self._whiten_inside(inside).square().sum(-1)
        value = -0.5 * (square + inside.shape[-1] * math.log(2 * math.pi) + self._logdet)
        return (value + self.subspace.residual_log_prob(z, inside)).to(z)

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return the gradient of the log-density, in closed form."""
        inside = self.subspace.project(z)
        value = -inside @ self._precision_axes.to(inside.device)
        return (value + self.subspace.residual_score(z, inside)).to(z)

    def least_surprisal(self) -> float:
        """Return the surprisal of the mean, in nats: no embedding has less."""
        return self.surprisal(self.subspace.mean).item()

    def whiten(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Return coordinates in the subspace in which the density is a standard normal one."""
        return self._whiten_inside(self.subspace.project(z)).to(z)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64. Without a residual they lie in the subspace."""
        whole("n", n, 0)
        white = torch.randn(n, len(self.covariance), generator=generator, dtype=torch.float64)
        factor = torch.linalg.cholesky(self.covariance.cpu())
        return self.subspace.reconstruct(white @ factor.T, generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save` writes, by name; `from_state_dict` reads them back."""
        return super().state_dict() | {"covariance": self.covariance}

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "GaussianDensity":
        """Rebuild a density from its `state_dict`."""
        space = Subspace.from_state_dict(tensors)
        return cls(space, tensors["covariance"], tensors["fit_surprisal"])

    def _whiten_inside(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b q"]:
        """Whiten coordinates in the components."""
        factor = self._factor.to(inside.device)
        columns = inside.reshape(-1, inside.shape[-1]).T
        white = torch.linalg.solve_triangular(factor, columns, upper=False)
        return white.T.reshape(inside.shape)

    @cached_property
    @normal_tensors()
    def _factor(self) -> Float[Tensor, "q q"]:
        return torch.linalg.cholesky(self.covariance)

    @cached_property
    def _logdet(self) -> float:
        return self.covariance.logdet().item()

    @cached_property
    @normal_tensors()
    def _precision_axes(self) -> Float[Tensor, "q d"]:
        """Inverse covariance times the axes: minus the score of a unit step in each component."""
        return torch.linalg.solve(self.covariance, self.subspace.axes)

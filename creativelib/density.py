"""How rare an image embedding is: a Gaussian in the principal components of what a model usually makes.

Everything is computed in float64 on the CPU: surprisals of hundreds of nats lose digits in float32, and embeddings are small.
Values come back in the precision and on the device of the input.
"""

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import InputError


@dataclass(frozen=True, eq=False)
class GaussianDensity:
    """A Gaussian over q principal components, and, if `residual_variance` is above 0, an isotropic one over the other d - q directions.

    With the residual this is probabilistic PCA with a full covariance inside the subspace (Tipping and Bishop 1999). Without it the
    density is one over the subspace alone: it cannot see anything that leaves the subspace.
    """

    mean: Float[Tensor, " d"]
    axes: Float[Tensor, "q d"]
    covariance: Float[Tensor, "q q"]
    residual_variance: Float[Tensor, ""]
    fit_surprisal: Float[Tensor, " n"]

    @classmethod
    def fit(cls, z: Float[Tensor, "*b d"], pca: float = 0.95, residual: bool = True) -> "GaussianDensity":
        """Fit to image embeddings; all leading axes count samples.

        `pca` is the share of the variance that the kept components explain, in (0, 1]. The covariance in the subspace is shrunk towards
        a multiple of the identity by Ledoit and Wolf's estimate (2004), which needs no tuning and vanishes with many samples.
        Raises InputError for a share out of range, fewer than 3 samples, values that are not finite, samples that do not vary, and with
        `residual`, for samples that vary in the kept components only.
        """
        from sklearn.covariance import ledoit_wolf
        from sklearn.decomposition import PCA

        if not 0 < pca <= 1:
            raise InputError(f"pca is {pca}; allowed is a share of the variance in (0, 1]")
        z = _exact(z).reshape(-1, z.shape[-1])
        n, d = z.shape
        if n < 3:
            raise InputError(f"z holds {n} samples; a density needs at least 3")
        if not z.isfinite().all():
            raise InputError("z holds values that are not finite; allowed are finite embeddings")
        if (z - z.mean(0)).square().sum() <= 1e-12 * z.square().sum():
            raise InputError(f"z holds {n} samples that are all equal; a density needs samples that vary")
        fitted = PCA(svd_solver="full").fit(z.numpy())
        mean, axes, variance = (z.new_tensor(part) for part in (fitted.mean_, fitted.components_, fitted.explained_variance_))
        total = variance.sum()
        # The tolerance keeps directions of rounding noise out when the whole variance is asked for.
        kept = int((variance.cumsum(0) < pca * total * (1 - 1e-12)).sum()) + 1
        axes = axes[:kept]
        covariance = z.new_tensor(ledoit_wolf(((z - mean) @ axes.T).numpy(), assume_centered=True)[0])
        outside = variance[kept:].sum() / max(d - kept, 1) if residual else z.new_zeros(())
        if residual and kept < d and outside <= 1e-9 * total / d:
            raise InputError(f"z varies in {kept} of {d} directions only, so the residual has no variance; give more samples, a pca below "
                             f"{pca}, or residual=False")
        density = cls(mean, axes, covariance, outside, fit_surprisal=z.new_zeros(0))
        return cls(mean, axes, covariance, outside, fit_surprisal=density.surprisal(z).sort().values)

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Log-density in nats; differentiable."""
        inside = self._inside(z)
        square = self._white(inside).square().sum(-1)
        value = -0.5 * (square + inside.shape[-1] * math.log(2 * math.pi) + self.covariance.logdet())
        if self.residual_variance > 0:
            outside = self._outside(z, inside)
            free = self.mean.numel() - inside.shape[-1]
            value = value - 0.5 * (outside.square().sum(-1) / self.residual_variance
                                   + free * (math.log(2 * math.pi) + self.residual_variance.log()))
        return value.to(z)

    def surprisal(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """How rare, in nats: minus the log-density."""
        return -self.log_prob(z)

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Gradient of the log-density with respect to the embedding, in closed form."""
        inside = self._inside(z)
        value = -inside @ torch.linalg.solve(self.covariance, self.axes)
        if self.residual_variance > 0:
            value = value - self._outside(z, inside) / self.residual_variance
        return value.to(z)

    def whiten(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Coordinates in the subspace in which the density is a standard normal one."""
        return self._white(self._inside(z)).to(z)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64; without a residual they lie in the subspace."""
        q, d = self.axes.shape
        white = torch.randn(n, q, generator=generator, dtype=torch.float64)
        rest = torch.randn(n, d, generator=generator, dtype=torch.float64)
        rest = rest - rest @ self.axes.T @ self.axes
        return self.mean + white @ torch.linalg.cholesky(self.covariance).T @ self.axes + rest * self.residual_variance.sqrt()

    def quantile(self, share: float) -> float:
        """The surprisal, in nats, that this share of the fit's samples stays below; share in [0, 1]."""
        if not 0 <= share <= 1:
            raise InputError(f"share is {share}; allowed is a number in [0, 1]")
        return torch.quantile(self.fit_surprisal, share).item()

    def percentile_of(self, surprisal: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """How many percent of the fit's samples are less surprising than each value in nats."""
        below = torch.searchsorted(self.fit_surprisal, _exact(surprisal).contiguous())
        return (100 * below / len(self.fit_surprisal)).to(surprisal)

    def save(self, file: Path) -> None:
        """Write a safetensors file."""
        tensors = {field.name: getattr(self, field.name).contiguous() for field in fields(self)}
        save_file(tensors, file, metadata={"creativelib": json.dumps({"kind": "gaussian"})})

    @classmethod
    def load(cls, file: Path) -> "GaussianDensity":
        """Read what `save` wrote. Raises InputError for any other file."""
        try:
            with safe_open(file, "pt") as stored:
                return cls(**{field.name: stored.get_tensor(field.name) for field in fields(cls)})
        except Exception as error:  # safetensors raises several kinds, none of them public
            raise InputError(f"file {str(file)!r} is no saved GaussianDensity ({error})") from None

    def _inside(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        return (_exact(z) - self.mean) @ self.axes.T

    def _white(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b q"]:
        factor = torch.linalg.cholesky(self.covariance)
        return torch.linalg.solve_triangular(factor, inside.reshape(-1, inside.shape[-1]).T, upper=False).T.reshape(inside.shape)

    def _outside(self, z: Float[Tensor, "*b d"], inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b d"]:
        return _exact(z) - self.mean - inside @ self.axes


def _exact(values: Tensor) -> Tensor:
    return values.to("cpu", torch.float64)

"""A mixture of Gaussians in the principal components: what is usual need not be one cloud."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .base import Density, Subspace
from .moments import Moments, to_float64

FLOOR = 1e-3  # added to each component's variances, as a share of the mean variance: a component must not close in on few samples


@dataclass(frozen=True, eq=False)
class MixtureDensity(Density):
    """k Gaussians with full covariances over q principal components, and one isotropic Gaussian over the other directions."""

    subspace: Subspace
    log_weights: Float[Tensor, " k"]
    means: Float[Tensor, "k q"]
    covariances: Float[Tensor, "k q q"]
    fit_surprisal: Float[Tensor, " n"]
    kind = "mixture"

    @classmethod
    def fit(
        cls,
        z: Float[Tensor, "*b d"],
        k: int | tuple[int, ...] = (1, 2, 4, 8, 16),
        pca: float = 0.95,
        residual: bool = True,
        seed: int = 0,
    ) -> "MixtureDensity":
        """Fit to image embeddings with scikit-learn's expectation maximisation; all leading axes count samples.

        Of several `k` the one with the least BIC is taken; those with more parameters than there are numbers in the samples are passed
        over. Raises InputError as `GaussianDensity.fit` does, for a k below 1, and if every k is above the number of samples.
        """
        from sklearn.mixture import GaussianMixture

        z = to_float64(z).cpu().reshape(-1, z.shape[-1])
        space = Subspace.fit(Moments.of(z), pca, residual)
        counts = (k,) if isinstance(k, int) else k
        if not counts or not 1 <= min(counts) <= len(z):
            raise InputError(
                f"k is {k}; expected numbers of components from 1 to that of the samples, {len(z)}"
            )
        inside = space.project(z).numpy()
        q = inside.shape[1]
        possible = [c for c in counts if c * (q + 1) * (q + 2) / 2 <= inside.size] or [min(counts)]
        fits = [
            GaussianMixture(
                c, random_state=seed, reg_covar=FLOOR * space.variances.mean().item()
            ).fit(inside)
            for c in possible
        ]
        best = min(fits, key=lambda fit: fit.bic(inside))
        density = cls(
            space,
            z.new_tensor(best.weights_).log(),
            z.new_tensor(best.means_),
            z.new_tensor(best.covariances_),
            z.new_zeros(0),
        )
        return replace(density, fit_surprisal=density.surprisal(z).sort().values)

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Log-density in nats; differentiable."""
        inside = self.subspace.project(z)
        value = self._joint(inside).logsumexp(-1)
        return (value + self.subspace.residual_log_prob(z, inside)).to(z)

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Gradient of the log-density with respect to the embedding, in closed form: the components' pulls, weighed by how probably the
        embedding is theirs."""
        inside = self.subspace.project(z)
        share = self._joint(inside).softmax(-1)
        pulls = torch.einsum(
            "kpq,...kq->...kp",
            torch.linalg.inv(self.covariances).to(inside.device),
            self._away(inside),
        )
        value = -torch.einsum("...k,...kq->...q", share, pulls) @ self.subspace.axes.to(
            inside.device
        )
        return (value + self.subspace.residual_score(z, inside)).to(z)

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64; without a residual they lie in the subspace."""
        whose = torch.multinomial(
            self.log_weights.exp().cpu(), n, replacement=True, generator=generator
        )
        white = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        spread = torch.linalg.cholesky(self.covariances.cpu())[whose]
        return self.subspace.reconstruct(
            self.means.cpu()[whose] + torch.einsum("npq,nq->np", spread, white), generator
        )

    def state_dict(self) -> dict[str, Tensor]:
        own = {
            "log_weights": self.log_weights,
            "means": self.means,
            "covariances": self.covariances,
        }
        return super().state_dict() | own

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "MixtureDensity":
        return cls(
            Subspace.from_state_dict(tensors),
            *(tensors[name] for name in ("log_weights", "means", "covariances", "fit_surprisal")),
        )

    def _away(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b k q"]:
        return inside[..., None, :] - self.means.to(inside.device)

    def _joint(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b k"]:
        """Log-density of each component times its weight."""
        factor = torch.linalg.cholesky(self.covariances).to(inside.device)
        away = self._away(inside).reshape(-1, *self.means.shape)
        white = torch.linalg.solve_triangular(factor, away.permute(1, 2, 0), upper=False)
        logdet = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.log_weights.to(inside.device) - 0.5 * (
            logdet + inside.shape[-1] * math.log(2 * math.pi)
        )
        return (constant - 0.5 * white.square().sum(1).T).reshape(*inside.shape[:-1], -1)

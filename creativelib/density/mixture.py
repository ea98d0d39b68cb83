"""A mixture of Gaussians in the principal components, for typical samples in several clouds."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, whole
from ..fitting.precision import to_float64
from ..seeds import UNMIXED, check_seed, mixed
from ..sharing import normal_tensors
from .base import Density
from .folds import held_out_surprisal
from .moments import Moments
from .subspace import Subspace

# Added to the variances of each Gaussian, as a share of the mean variance, so that none of them
# collapses onto a few samples.
FLOOR = 1e-3
# Steps to the modes.
CLIMB = 100


@dataclass(frozen=True, eq=False, repr=False)
class MixtureDensity(Density):
    """k Gaussians over q principal components, times an isotropic one over the other directions."""

    # Principal components of the samples.
    subspace: Subspace
    # Logarithm of the weight of each Gaussian.
    log_weights: Float[Tensor, " k"]
    # Mean of each Gaussian, as coordinates in the components.
    means: Float[Tensor, "k q"]
    # Full covariance of each Gaussian.
    covariances: Float[Tensor, "k q q"]
    # Surprisals of samples in nats, sorted, by fits that have not seen them.
    fit_surprisal: Float[Tensor, " n"]
    kind = "mixture"

    @classmethod
    @normal_tensors()
    def fit(
        cls,
        z: Float[Tensor, "*b d"],
        k: int | tuple[int, ...] = (1, 2, 4, 8, 16),
        pca: float = 0.95,
        residual: bool = True,
        seed: int = 0,
    ) -> "MixtureDensity":
        """Fit to image embeddings with scikit-learn's expectation maximization.

        All leading axes of z count samples. Of several `k` the one with the least BIC is taken;
        those with more parameters than there are numbers in the samples are skipped. Quantiles come
        from samples that a fit of as many Gaussians has not seen, see `folds`.

        Raises InputError as `GaussianDensity.fit` does, for a k below 1, and if every k is above
        the number of samples.
        """
        from sklearn.mixture import GaussianMixture

        z = to_float64(z).cpu().reshape(-1, z.shape[-1])
        space = Subspace.fit(Moments.of(z), pca, residual)
        check_seed(seed)
        counts = tuple(whole("k", each, 1) for each in ((k,) if isinstance(k, int) else k))
        if not counts or min(counts) > len(z):
            raise InputError(
                f"k is {k}; expected numbers of Gaussians from 1 to the number of samples, {len(z)}"
            )
        inside = space.project(z).numpy()
        q = inside.shape[1]
        possible = [c for c in counts if c * (q + 1) * (q + 2) / 2 <= inside.size] or [min(counts)]
        floor = FLOOR * space.variances.mean().item()
        fits = [
            GaussianMixture(c, random_state=mixed(seed) % UNMIXED, reg_covar=floor).fit(inside)
            for c in possible
        ]
        best = min(fits, key=lambda fit: fit.bic(inside))

        def refit(rest: Tensor, part: Subspace) -> MixtureDensity:
            k = min(best.n_components, len(rest))
            again = GaussianMixture(k, random_state=mixed(seed) % UNMIXED, reg_covar=floor)
            return cls._of(part, again.fit(part.project(rest).numpy()))

        density = cls._of(space, best)
        surprisal = held_out_surprisal(z, density, residual, refit)
        return replace(density, fit_surprisal=surprisal)

    @classmethod
    def _of(cls, space: Subspace, mixture: Any) -> "MixtureDensity":
        """Take over a mixture of scikit-learn's, without quantiles."""
        new = space.mean.new_tensor
        return cls(
            subspace=space,
            log_weights=new(mixture.weights_).log(),
            means=new(mixture.means_),
            covariances=new(mixture.covariances_),
            fit_surprisal=new([]),
        )

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return the log-density in nats; differentiable."""
        inside = self.subspace.project(z)
        value = self._joint_log_prob(inside).logsumexp(-1)
        return (value + self.subspace.residual_log_prob(z, inside)).to(z)

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return the gradient of the log-density, in closed form.

        It is the mean of the Gaussians' scores, weighted by the probability that the embedding
        comes from each of them.
        """
        inside = self.subspace.project(z)
        posterior = self._joint_log_prob(inside).softmax(-1)
        precisions = torch.linalg.inv(self.covariances).to(inside.device)
        pulls = torch.einsum("kpq,...kq->...kp", precisions, self._offsets(inside))
        axes = self.subspace.axes.to(inside.device)
        value = -torch.einsum("...k,...kq->...q", posterior, pulls) @ axes
        return (value + self.subspace.residual_score(z, inside)).to(z)

    @torch.no_grad()
    def least_surprisal(self) -> float:
        """Return the surprisal of the densest point, in nats.

        From each Gaussian's mean, a fixed-point iteration climbs to a mode of the mixture
        (Carreira-Perpinan 2000, "Mode-finding for mixtures of Gaussian distributions").
        """
        precisions = torch.linalg.inv(self.covariances)
        pulls = torch.einsum("kpq,kq->kp", precisions, self.means)
        inside = self.means
        for _ in range(CLIMB):
            posterior = self._joint_log_prob(inside).softmax(-1)
            precision = torch.einsum("mk,kpq->mpq", posterior, precisions)
            inside = torch.linalg.solve(precision, posterior @ pulls)
        modes = self.subspace.mean + inside @ self.subspace.axes
        return self.surprisal(modes).min().item()

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64. Without a residual they lie in the subspace."""
        whole("n", n, 1)
        weights = self.log_weights.exp().cpu()
        chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
        white = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        factors = torch.linalg.cholesky(self.covariances.cpu())[chosen]
        inside = self.means.cpu()[chosen] + torch.einsum("npq,nq->np", factors, white)
        return self.subspace.reconstruct(inside, generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save` writes, by name; `from_state_dict` reads them back."""
        own = {
            "log_weights": self.log_weights,
            "means": self.means,
            "covariances": self.covariances,
        }
        return super().state_dict() | own

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "MixtureDensity":
        """Rebuild a density from its `state_dict`."""
        return cls(
            subspace=Subspace.from_state_dict(tensors),
            log_weights=tensors["log_weights"],
            means=tensors["means"],
            covariances=tensors["covariances"],
            fit_surprisal=tensors["fit_surprisal"],
        )

    def _offsets(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b k q"]:
        """Return the vectors from the mean of each Gaussian."""
        return inside[..., None, :] - self.means.to(inside.device)

    def _joint_log_prob(self, inside: Float[Tensor, "*b q"]) -> Float[Tensor, "*b k"]:
        """Return the log of each Gaussian's density times its weight."""
        factor = torch.linalg.cholesky(self.covariances).to(inside.device)
        offsets = self._offsets(inside).reshape(-1, *self.means.shape)
        white = torch.linalg.solve_triangular(factor, offsets.permute(1, 2, 0), upper=False)
        logdet = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.log_weights.to(inside.device) - 0.5 * (
            logdet + inside.shape[-1] * math.log(2 * math.pi)
        )
        return (constant - 0.5 * white.square().sum(1).T).reshape(*inside.shape[:-1], -1)

"""The principal components that densities work in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, share
from ..fitting.precision import to_float64
from ..sharing import normal_tensors
from .moments import Moments


@dataclass(frozen=True, eq=False)
class Subspace:
    """The first q principal components of samples, and the variance of the other d - q directions.

    With the residual variance, a density over the components becomes a density over all
    directions, as in probabilistic PCA (Tipping and Bishop 1999). Without it, the density cannot
    see anything that leaves the subspace. Embeddings may lie on another device than the subspace.
    """

    # Mean of the samples.
    mean: Float[Tensor, " d"]
    # Principal components, one unit vector per row, in order of falling variance.
    axes: Float[Tensor, "q d"]
    # Variance of the samples along each component.
    variances: Float[Tensor, " q"]
    # Mean variance of the other d - q directions; 0 leaves these directions out.
    residual_variance: Float[Tensor, ""]

    @classmethod
    @normal_tensors()
    def fit(
        cls, moments: Moments, pca: float, residual: bool, most: int | None = None
    ) -> "Subspace":
        """Fit to the moments of samples.

        `pca` is the share of the variance that the components explain, in (0, 1]. There are at most
        `most` of them.

        Raises InputError for a share out of range, fewer than 3 samples, and samples that do not
        vary. With `residual`, it also raises for samples that vary in the components only.
        """
        share("pca", pca)
        if moments.n < 3:
            raise InputError(f"z holds {moments.n} samples; a density needs at least 3")
        if moments.scatter.trace() <= 1e-12 * (
            moments.scatter.trace() + moments.n * moments.mean.square().sum()
        ):
            raise InputError(
                f"z holds {moments.n} samples that are all equal; a density needs samples that vary"
            )
        variance, directions = torch.linalg.eigh(moments.covariance)
        variance = variance.flip(0).clamp_min(0)
        directions = directions.flip(1)
        total = variance.sum()
        d = len(variance)
        # The tolerance excludes directions of rounding noise when pca is 1.
        q = int((variance.cumsum(0) < pca * total * (1 - 1e-12)).sum()) + 1
        q = q if most is None else min(q, most)
        rest = variance[q:].sum() / max(d - q, 1) if residual else variance.new_zeros(())
        if residual and q < d and rest <= 1e-9 * total / d:
            raise InputError(
                f"z varies in {q} of {d} directions only, so the residual has no variance; "
                f"give more samples, a pca below {pca}, or residual=False"
            )
        return cls(
            mean=moments.mean.cpu(),
            axes=directions[:, :q].T.contiguous().cpu(),
            variances=variance[:q].contiguous().cpu(),
            residual_variance=rest.cpu(),
        )

    # Bundled and cached files use the keys below, among them "subspace.rest" for
    # `residual_variance`. They must stay as they are, or these files can no longer be read.
    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by their names in files; `from_state_dict` reads them back."""
        return {
            "subspace.mean": self.mean,
            "subspace.axes": self.axes,
            "subspace.variances": self.variances,
            "subspace.rest": self.residual_variance,
        }

    @classmethod
    def from_state_dict(cls, tensors: Mapping[str, Tensor]) -> "Subspace":
        """Rebuild a subspace from its `state_dict`. Other tensors in the mapping are ignored."""
        return cls(
            mean=tensors["subspace.mean"],
            axes=tensors["subspace.axes"],
            variances=tensors["subspace.variances"],
            residual_variance=tensors["subspace.rest"],
        )

    def check_width(self, z: Float[Tensor, "*b d"]) -> None:
        """Raise InputError if embeddings do not have the width of the fit."""
        if z.shape[-1] != self.mean.numel():
            raise InputError(
                f"z has width {z.shape[-1]}; expected {self.mean.numel()}, as in the fit"
            )

    def project(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Return the coordinates of embeddings in the components, in float64."""
        self.check_width(z)
        z = to_float64(z)
        return (z - self.mean.to(z.device)) @ self.axes.to(z.device).T

    def residual(
        self, z: Float[Tensor, "*b d"], inside: Float[Tensor, "*b q"]
    ) -> Float[Tensor, "*b d"]:
        """Return the part of each embedding that its coordinates `inside` do not explain."""
        return to_float64(z) - self.mean.to(inside.device) - inside @ self.axes.to(inside.device)

    def residual_log_prob(
        self, z: Float[Tensor, "*b d"], inside: Float[Tensor, "*b q"]
    ) -> Float[Tensor, "*b"] | float:
        """Return the log-density of the other directions in nats, or 0 without a residual."""
        if self._residual_variance == 0:
            return 0.0
        free = self.mean.numel() - len(self.axes)
        square = self.residual(z, inside).square().sum(-1)
        return -0.5 * (
            square / self._residual_variance
            + free * math.log(2 * math.pi * self._residual_variance)
        )

    def residual_score(
        self, z: Float[Tensor, "*b d"], inside: Float[Tensor, "*b q"]
    ) -> Float[Tensor, "*b d"] | float:
        """Return the gradient of `residual_log_prob` with respect to z."""
        if self._residual_variance == 0:
            return 0.0
        return -self.residual(z, inside) / self._residual_variance

    def reconstruct(
        self, inside: Float[Tensor, "n q"], generator: torch.Generator
    ) -> Float[Tensor, "n d"]:
        """Return embeddings with these coordinates, and random noise in the other directions."""
        noise = torch.randn(
            len(inside), self.mean.numel(), generator=generator, dtype=torch.float64
        )
        axes = self.axes.cpu()
        noise = noise - noise @ axes.T @ axes
        return self.mean.cpu() + inside @ axes + noise * self._residual_variance**0.5

    @cached_property
    def _residual_variance(self) -> float:
        """`residual_variance` as a number, so that a GPU is asked for it only once."""
        return self.residual_variance.item()

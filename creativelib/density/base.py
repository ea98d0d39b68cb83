"""What every density offers, and the principal components that all of them can work in."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from .moments import Moments, to_float64

# Names of a subspace's tensors in files, in the order of its fields.
STORED = ("mean", "axes", "variances", "rest")
FORMAT = 2  # of saved densities; part of every name under which one is kept


@dataclass(frozen=True, eq=False)
class Subspace:
    """The first q principal components of samples, and the mean variance of the other d - q directions; 0 leaves these out.

    With the rest a density over the components becomes one over all directions, as in probabilistic PCA (Tipping and Bishop 1999);
    without it, it cannot see anything that leaves the subspace. Embeddings may lie on another device than it does.
    """

    mean: Float[Tensor, " d"]
    axes: Float[Tensor, "q d"]
    variances: Float[Tensor, " q"]
    residual_variance: Float[Tensor, ""]

    @classmethod
    def fit(cls, moments: Moments, pca: float, residual: bool) -> "Subspace":
        """`pca` is the share of the variance that the kept components explain, in (0, 1].

        Raises InputError for a share out of range, fewer than 3 samples, samples that do not vary, and with `residual`, for samples that
        vary in the kept components only.
        """
        if not 0 < pca <= 1:
            raise InputError(f"pca is {pca}; expected a share of the variance in (0, 1]")
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
        # The tolerance keeps directions of rounding noise out when the whole variance is asked for.
        kept = int((variance.cumsum(0) < pca * total * (1 - 1e-12)).sum()) + 1
        rest = variance[kept:].sum() / max(d - kept, 1) if residual else variance.new_zeros(())
        if residual and kept < d and rest <= 1e-9 * total / d:
            raise InputError(
                f"z varies in {kept} of {d} directions only, so the residual has no variance; give more samples, a pca below "
                f"{pca}, or residual=False"
            )
        return cls(
            moments.mean.cpu(),
            directions[:, :kept].T.contiguous().cpu(),
            variance[:kept].contiguous().cpu(),
            rest.cpu(),
        )

    @classmethod
    def from_state_dict(cls, tensors: Mapping[str, Tensor]) -> "Subspace":
        """Rebuild the subspace whose `state_dict` is among these tensors."""
        return cls(*(tensors[f"subspace.{name}"] for name in STORED))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by the names that they have in files."""
        values = (self.mean, self.axes, self.variances, self.residual_variance)
        return {f"subspace.{name}": value for name, value in zip(STORED, values, strict=True)}

    def project(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Coordinates in the components."""
        if z.shape[-1] != self.mean.numel():
            raise InputError(
                f"z has width {z.shape[-1]}; expected {self.mean.numel()}, as in the fit"
            )
        z = to_float64(z)
        return (z - self.mean.to(z.device)) @ self.axes.to(z.device).T

    def residual(
        self, z: Float[Tensor, "*b d"], inside: Float[Tensor, "*b q"]
    ) -> Float[Tensor, "*b d"]:
        """What the components leave of an embedding."""
        return to_float64(z) - self.mean.to(inside.device) - inside @ self.axes.to(inside.device)

    def residual_log_prob(
        self, z: Float[Tensor, "*b d"], inside: Float[Tensor, "*b q"]
    ) -> Float[Tensor, "*b"] | float:
        """Log-density of the other directions, in nats; 0 without them."""
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
        return (
            -self.residual(z, inside) / self._residual_variance
            if self._residual_variance > 0
            else 0.0
        )

    def reconstruct(
        self, inside: Float[Tensor, "n q"], generator: torch.Generator
    ) -> Float[Tensor, "n d"]:
        """Embeddings with these coordinates, and noise in the other directions."""
        noise = torch.randn(
            len(inside), self.mean.numel(), generator=generator, dtype=torch.float64
        )
        axes = self.axes.cpu()
        noise = noise - noise @ axes.T @ axes
        return self.mean.cpu() + inside @ axes + noise * self._residual_variance**0.5

    @cached_property
    def _residual_variance(self) -> float:
        """`rest` without asking a GPU for it each time."""
        return self.residual_variance.item()


class Density(ABC):
    """A density over image embeddings.

    Values come back in the precision and on the device of the input. `fit_surprisal` holds the surprisals of the fit's samples, sorted.
    """

    kind: ClassVar[str]
    subspace: Subspace
    fit_surprisal: Float[Tensor, " n"]

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Log-density in nats; differentiable."""

    @abstractmethod
    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Gradient of the log-density with respect to the embedding."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64; without a residual they lie in the subspace."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save` writes, by name; `from_state_dict` takes them back."""
        return self.subspace.state_dict() | {"fit_surprisal": self.fit_surprisal}

    @classmethod
    @abstractmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "Density":
        """Rebuild the density whose `state_dict` these tensors are."""

    def surprisal(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """How rare, in nats: minus the log-density."""
        return -self.log_prob(z)

    def whiten(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Coordinates in the components, in standard deviations of the fit's samples."""
        inside = self.subspace.project(z)
        return (inside / self.subspace.variances.sqrt().to(inside.device)).to(z)

    def quantile(self, share: float) -> float:
        """The surprisal, in nats, that this share of the fit's samples stays below; share in [0, 1]."""
        if not 0 <= share <= 1:
            raise InputError(f"share is {share}; expected a number in [0, 1]")
        return torch.quantile(self.fit_surprisal, share).item()

    def percentile_of(self, surprisal: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """How many percent of the fit's samples are less surprising than each value in nats."""
        values = to_float64(surprisal).contiguous()
        below = torch.searchsorted(self.fit_surprisal.to(values.device), values)
        return (100 * below / len(self.fit_surprisal)).to(surprisal)

    def save(self, file: Path) -> None:
        """Write a safetensors file."""
        save_file(
            {k: v.contiguous() for k, v in self.state_dict().items()},
            file,
            metadata={"creativelib": json.dumps({"kind": self.kind})},
        )

    def to(self, device: torch.device) -> "Density":
        """The same density on a device, for embeddings that lie there: elsewhere its tensors are copied at every call."""
        if self.subspace.mean.device == device:
            return self
        return type(self).from_state_dict(
            {name: value.to(device) for name, value in self.state_dict().items()}
        )


def load(file: Path) -> Density:
    """Read what a density's `save` wrote. Raises InputError for any other file."""
    from . import FlowDensity, GaussianDensity, MixtureDensity

    try:
        with safe_open(file, "pt") as stored:
            kinds = {k.kind: k for k in (GaussianDensity, MixtureDensity, FlowDensity)}
            kind = kinds[json.loads(stored.metadata()["creativelib"])["kind"]]
            return kind.from_state_dict({name: stored.get_tensor(name) for name in stored.keys()})
    except Exception as error:  # safetensors raises several kinds, none of them public
        raise InputError(f"file {str(file)!r} is no saved density ({error})") from None

"""The interface of every density, and the principal components that they work in."""

import json
import math
import warnings
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

from ..errors import InputError, share, within
from ..files import atomic_write
from ..fitting.precision import to_float64
from ..sharing import normal_tensors
from .moments import Moments

# Version of the file format. It is part of every name under which a density is cached. Up to 2,
# `fit_surprisal` was that of samples which the fit had seen. Older files are read as they are.
FORMAT = 3


class FewSamplesWarning(UserWarning):
    """A quantile was asked of too few samples: it lies beyond all of them."""


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


class Density(ABC):
    """A density over image embeddings.

    Values come back in the precision and on the device of the input.
    """

    # Name of the estimate, in files and reports.
    kind: ClassVar[str]
    # Principal components of the samples.
    subspace: Subspace
    # Surprisals of samples like the fitted ones in nats, sorted, by fits that have not seen them.
    fit_surprisal: Float[Tensor, " n"]

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return the log-density in nats; differentiable."""

    @abstractmethod
    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return the gradient of the log-density with respect to the embedding."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64. Without a residual they lie in the subspace."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save` writes, by name; `from_state_dict` reads them back."""
        return self.subspace.state_dict() | {"fit_surprisal": self.fit_surprisal}

    @classmethod
    @abstractmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "Density":
        """Rebuild a density from its `state_dict`."""

    def __repr__(self) -> str:
        q, d = self.subspace.axes.shape
        residual = "with" if self.subspace.residual_variance > 0 else "without"
        n = len(self.fit_surprisal)
        lines = [
            f"{type(self).__name__} (kind {self.kind!r})",
            f"  {q} principal components of {d} dimensions, {residual} a residual",
            f"  surprisal of {n} fitted samples",
        ]
        if n:  # a density under construction has none yet
            median = self._quantile(0.5)
            tail = self._quantile(0.99)
            lines[2] += f": median {median:.1f} nats, 99th percentile {tail:.1f} nats"
        return "\n".join(lines)

    def surprisal(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return how rare each embedding is, in nats: minus the log-density."""
        return -self.log_prob(z)

    def whiten(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b q"]:
        """Return coordinates in the components, in standard deviations of the fitted samples."""
        inside = self.subspace.project(z)
        return (inside / self.subspace.variances.sqrt().to(inside.device)).to(z)

    def least_surprisal(self) -> float:
        """Return the surprisal of the densest point in nats; minus infinity if it is not known."""
        return -math.inf

    def quantile(self, share: float) -> float:
        """Return the surprisal, in nats, that this share of new samples stays below on average.

        It is read off samples that the fit has not seen. Of a new sample the k-th of n stays below
        with the probability k / (n + 1), whatever the distribution, and in between is interpolated
        (Hyndman and Fan 1996, definition 6). Of fewer samples than that needs, 99 for a share of
        0.99, the largest is returned, with a FewSamplesWarning.

        Raises InputError for a share outside [0, 1].
        """
        within("share", share, 0, 1)
        n = len(self.fit_surprisal)
        if n < share * (n + 1) and share < 1:
            needed = math.ceil(share / (1 - share) - 1e-9)
            warnings.warn(
                f"the quantile {share:g} of {n} samples lies beyond all of them; expected at least "
                f"{needed} samples",
                FewSamplesWarning,
                stacklevel=2,
            )
        return self._quantile(share)

    def _quantile(self, share: float) -> float:
        n = len(self.fit_surprisal)
        place = min(max(share * (n + 1) - 1, 0), n - 1)
        low = int(place)
        below, above = self.fit_surprisal[[low, min(low + 1, n - 1)]].tolist()
        return below + (place - low) * (above - below)

    def percentile_of(self, surprisal: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Return the percentage of samples that are less surprising than each value.

        They are those of `quantile`. Values are in nats.
        """
        values = to_float64(surprisal).contiguous()
        below = torch.searchsorted(self.fit_surprisal.to(values.device), values)
        return (100 * below / len(self.fit_surprisal)).to(surprisal)

    def save(self, file: str | Path) -> None:
        """Write a safetensors file, and create its folder if needed; `load` reads it back."""
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with atomic_write(file) as part:
            save_file(tensors, part, metadata={"creativelib": json.dumps({"kind": self.kind})})

    @normal_tensors()
    def to(self, device: torch.device) -> "Density":
        """Return the same density on a device.

        A density accepts embeddings on any device, but copies its tensors to theirs at every call.
        For MPS, which lacks float64, it stays on the CPU.
        """
        if device.type == "mps" or self.subspace.mean.device == device:
            return self
        return type(self).from_state_dict(
            {name: value.to(device) for name, value in self.state_dict().items()}
        )


@normal_tensors()
def load(file: str | Path) -> Density:
    """Read a density that `Density.save` wrote. Raises InputError for any other file."""
    from . import FlowDensity, GaussianDensity, MixtureDensity

    try:
        with safe_open(file, "pt") as stored:
            kinds = {k.kind: k for k in (GaussianDensity, MixtureDensity, FlowDensity)}
            kind = kinds[json.loads(stored.metadata()["creativelib"])["kind"]]
            names = stored.keys()
            # Copies: Windows replaces no file whose tensors lie in memory as parts of the file.
            return kind.from_state_dict({name: stored.get_tensor(name).clone() for name in names})
    except Exception as error:  # safetensors raises several kinds, none of them public
        raise InputError(f"file is {str(file)!r}; expected a saved density ({error})") from None

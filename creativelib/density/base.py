"""The interface of every density."""

import json
import math
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, within
from ..files import atomic_write
from ..fitting.precision import to_float64
from ..sharing import normal_tensors
from .subspace import Subspace

# Version of the file format. It is part of every name under which a density is cached. Up to 2,
# `fit_surprisal` was that of samples which the fit had seen. Older files are read as they are.
FORMAT = 3


class FewSamplesWarning(UserWarning):
    """A quantile was asked of too few samples: it lies beyond all of them."""


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

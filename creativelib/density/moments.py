"""Count, mean and scatter of samples.

These are all that a Gaussian needs, and their size does not grow with the number of samples. The
moments of two sets can be merged (Chan, Golub and LeVeque 1983), so a corpus larger than memory
needs one pass, a part at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..fitting.precision import to_float64


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of samples, in float64 (see `fitting.precision.to_float64`)."""

    # Number of samples.
    n: int
    # Mean of the samples.
    mean: Float[Tensor, " d"]
    # Sum of (z - mean)(z - mean)' over the samples.
    scatter: Float[Tensor, "d d"]

    @classmethod
    def of(cls, z: Float[Tensor, "*b d"]) -> "Moments":
        """Compute the moments of one tensor, of which all leading axes count samples.

        Raises InputError for no samples and for values that are not finite.
        """
        z = z.reshape(-1, z.shape[-1])
        if not len(z):
            raise InputError("z holds no samples; expected at least 1")
        # Center on the part's own mean: squares of large means would swallow small variances.
        z = to_float64(z)
        mean = z.mean(0)
        if not mean.isfinite().all():
            raise InputError("z holds values that are not finite; expected finite embeddings")
        centered = z - mean
        return cls(len(z), mean, centered.T @ centered)

    @classmethod
    def stream(cls, parts: Iterable[Tensor]) -> "Moments":
        """Compute the moments of all parts (*b d) together, holding one of them at a time.

        Raises InputError for no parts and for parts of different width.
        """
        total = None
        for part in parts:
            total = cls.of(part) if total is None else total + cls.of(part)
        if total is None:
            raise InputError("parts is empty; expected at least 1 tensor of samples")
        return total

    def __add__(self, other: "Moments") -> "Moments":
        if self.mean.shape != other.mean.shape:
            raise InputError(
                f"samples have width {self.mean.numel()} and {other.mean.numel()}; "
                f"expected one width for all parts"
            )
        n = self.n + other.n
        shift = other.mean - self.mean
        between = torch.outer(shift, shift) * (self.n * other.n / n)
        return Moments(
            n,
            self.mean + shift * (other.n / n),
            self.scatter + other.scatter + between,
        )

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """Unbiased estimate of the covariance."""
        return self.scatter / (self.n - 1)

"""Count, mean and scatter of samples: all that a Gaussian needs, in a size that does not grow with the number of samples.

The moments of two sets can be merged (Chan, Golub and LeVeque 1983), so a corpus larger than memory is seen once, a part at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError


def to_float64(values: Tensor) -> Tensor:
    """In float64, on the input's device where that has it: in float32 surprisals of hundreds of nats lose digits."""
    return (values.cpu() if values.device.type == "mps" else values).double()


@dataclass(frozen=True, eq=False)
class Moments:
    """`scatter` is the sum of (z - mean)(z - mean)'; everything is in float64, see `exact`."""

    n: int
    mean: Float[Tensor, " d"]
    scatter: Float[Tensor, "d d"]

    @classmethod
    def of(cls, z: Float[Tensor, "*b d"]) -> "Moments":
        """Of one part; all leading axes count samples. Raises InputError for no samples and for values that are not finite."""
        z = z.reshape(-1, z.shape[-1])
        if not len(z):
            raise InputError("z holds no samples; expected at least 1")
        # Around the part's own mean: squares of large means would swallow small variances.
        z = to_float64(z)
        mean = z.mean(0)
        if not mean.isfinite().all():
            raise InputError("z holds values that are not finite; expected finite embeddings")
        centered = z - mean
        return cls(len(z), mean, centered.T @ centered)

    @classmethod
    def stream(cls, parts: Iterable[Tensor]) -> "Moments":
        """Of all parts (*b d) together, holding one of them at a time. Raises InputError for no parts and for parts of different width."""
        total = None
        for part in parts:
            total = cls.of(part) if total is None else total + cls.of(part)
        if total is None:
            raise InputError("parts is empty; expected at least 1 tensor of samples")
        return total

    def __add__(self, other: "Moments") -> "Moments":
        if self.mean.shape != other.mean.shape:
            raise InputError(
                f"samples of width {self.mean.numel()} and {other.mean.numel()} do not belong together"
            )
        n = self.n + other.n
        apart = other.mean - self.mean
        return Moments(
            n,
            self.mean + apart * (other.n / n),
            self.scatter + other.scatter + torch.outer(apart, apart) * (self.n * other.n / n),
        )

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """The unbiased estimate."""
        return self.scatter / (self.n - 1)

"""A density from any model with a log-density, such as a normalizing flow trained elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..fitting.precision import to_float64
from ..sharing import gradients, normal_tensors
from .base import Density
from .moments import Moments
from .subspace import Subspace


@dataclass(frozen=True, eq=False, repr=False)
class CustomDensity(Density):
    """The density of a model over all d dimensions.

    The model needs a method `log_prob(z)`, which takes a float tensor (n, d) and returns the
    log-densities (n,) in nats, differentiable. `sample` also needs a method `sample(n, generator)`,
    which returns a tensor (n, d).

        density = CustomDensity.fit(model, z)
        density.surprisal(z).median()
    """

    # Principal components of the samples. Only `whiten` works in them, not the log-density.
    subspace: Subspace
    # Object with a method `log_prob`.
    model: Any
    # Surprisals of the given samples in nats, sorted, in float64.
    fit_surprisal: Float[Tensor, " n"]
    kind = "custom"

    @classmethod
    @normal_tensors()
    def fit(cls, model: Any, samples: Float[Tensor, "*b d"], pca: float = 0.95) -> "CustomDensity":
        """Wrap a model; the samples are typical embeddings, and all leading axes count them.

        The model itself is not changed. The samples give the quantiles of the surprisal and the
        principal components, which explain a share `pca` of their variance, in (0, 1]. They should
        be samples that the model was not trained on: those it finds less surprising. Model and
        samples must lie on the same device.

        Raises InputError as `GaussianDensity.fit` does, and for a model without a `log_prob` that
        returns one finite number for each sample.
        """
        samples = samples.detach().reshape(-1, samples.shape[-1])
        subspace = Subspace.fit(Moments.of(samples), pca, residual=False)
        n = len(samples)
        expected = f"expected one finite log-density for each sample, of shape {(n,)}"
        if not callable(getattr(model, "log_prob", None)):
            raise InputError(f"model is a {type(model).__name__} without a log_prob; {expected}")
        with torch.no_grad():
            values = model.log_prob(samples)
        if not isinstance(values, Tensor):
            raise InputError(f"model.log_prob returns a {type(values).__name__}; {expected}")
        if values.shape != (n,):
            raise InputError(f"model.log_prob returns shape {tuple(values.shape)}; {expected}")
        if not values.isfinite().all():
            wrong = int((~values.isfinite()).sum())
            raise InputError(f"model.log_prob is not finite for {wrong} of {n} samples; {expected}")
        return cls(subspace, model, to_float64(-values).cpu().sort().values)

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return the model's log-density in nats; differentiable.

        The model receives the embeddings in their own precision.
        """
        self.subspace.check_width(z)
        values = self.model.log_prob(z.reshape(-1, z.shape[-1]))
        return values.to(z).reshape(z.shape[:-1])

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return the gradient of the log-density, by automatic differentiation."""
        with gradients():
            z = z.detach().clone().requires_grad_()
            return torch.autograd.grad(self.log_prob(z).sum(), z)[0]

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings with the model's `sample(n, generator)`; return them in float64.

        Raises InputError for a model without a method `sample`.
        """
        if not callable(getattr(self.model, "sample", None)):
            raise InputError(
                f"model is a {type(self.model).__name__} without a sample; "
                f"expected a model with a method sample(n, generator)"
            )
        with torch.no_grad():
            return to_float64(self.model.sample(n, generator)).cpu()

    def save(self, file: str | Path) -> None:
        """Raise InputError: a model of an unknown class cannot be written to a file."""
        raise InputError(
            f"file is {str(file)!r}, but a custom density can't be saved; "
            f"save its model, and call CustomDensity.fit again"
        )

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "CustomDensity":
        """Raise InputError: tensors alone do not hold the model."""
        raise InputError(
            "tensors do not hold the model of a custom density; expected a call of fit"
        )

    def to(self, device: torch.device) -> "CustomDensity":
        """Return the same density on a device.

        The model moves if it has a method `to`. A torch module moves in place, so the model of the
        original density moves, too. The components stay on the CPU for MPS, which lacks float64.
        """
        home = torch.device("cpu") if device.type == "mps" else device
        if self.subspace.mean.device == device:
            return self
        tensors = {name: value.to(home) for name, value in self.state_dict().items()}
        return type(self)(
            subspace=Subspace.from_state_dict(tensors),
            model=self.model.to(device) if hasattr(self.model, "to") else self.model,
            fit_surprisal=tensors["fit_surprisal"],
        )

    def __repr__(self) -> str:
        d = self.subspace.mean.numel()
        return f"{super().__repr__()}\n  model {type(self.model).__name__} over all {d} dimensions"

"""A normalizing flow in the principal components, which fits bent clouds but must be trained."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import InputError, above, whole
from ..fitting.precision import to_float64
from ..seeds import check_seed, seeded
from ..sharing import SeededInit, gradients, normal_tensors
from .base import Density
from .folds import held_out_surprisal
from .moments import Moments
from .subspace import Subspace

# Share of the samples that is held out to choose the best state.
HELD_OUT = 0.1
# Folds that samples are dealt into for quantiles, and how many samples are enough for them, which
# is what the 99th percentile needs: a fit is slow.
FOLDS = 5
ENOUGH = 99
# Number of spline transforms, and widths of the hidden layers in each.
LAYERS = 3
HIDDEN = (64, 64)
# Steps between two measurements on the held-out samples.
CHECK_EVERY = 25


def build(q: int) -> Any:
    """Build a neural spline flow (Durkan et al. 2019) over q coordinates, in float64."""
    import zuko

    return zuko.flows.NSF(q, transforms=LAYERS, hidden_features=HIDDEN).double()


def _standardized(z: Float[Tensor, "n d"], space: Subspace) -> Float[Tensor, "n q"]:
    return space.project(z) / space.variances.sqrt()


def _train(
    flow: Any,
    x: Float[Tensor, "n q"],
    steps: int,
    batch: int,
    lr: float,
    generator: torch.Generator,
) -> Iterator[int]:
    """Yield the number of steps that Adam took, after each. A loss that is not finite ends it."""
    optimizer = torch.optim.Adam(flow.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        loss = -flow().log_prob(x[rows]).mean()
        if not loss.isfinite():
            return
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        yield step + 1


@dataclass(frozen=True, eq=False, repr=False)
class FlowDensity(Density):
    """A neural spline flow over q components, times an isotropic Gaussian over the rest.

    The flow works on coordinates in standard deviations. Where every coordinate is beyond five
    standard deviations its splines are the identity, and it is a Gaussian.
    """

    # Principal components of the samples.
    subspace: Subspace
    # zuko flow over standardized coordinates in the components.
    flow: Any
    # Surprisals of samples in nats, sorted, by fits that have not seen them.
    fit_surprisal: Float[Tensor, " n"]
    kind = "flow"

    @classmethod
    @gradients()
    def fit(
        cls,
        z: Float[Tensor, "*b d"],
        pca: float = 0.95,
        residual: bool = True,
        steps: int = 600,
        batch: int = 256,
        lr: float = 3e-3,
        seed: int = 0,
    ) -> "FlowDensity":
        """Fit to image embeddings by maximum likelihood; all leading axes count samples.

        Adam optimizes the likelihood of nine tenths of the samples. The state that is best on the
        held-out tenth is returned. A loss that is not finite ends the fit with the best state so
        far. Quantiles come from samples that a fit of as many steps has not seen, see `folds`: one
        such fit from 500 samples on, up to five below.

        Raises InputError as `GaussianDensity.fit` does, for fewer than 20 samples or 2 components,
        for a bad number, and for a loss that is not finite before any state was measured.
        """
        whole("steps", steps, 1)
        whole("batch", batch, 1)
        above("lr", lr, 0)
        check_seed(seed)
        z = to_float64(z).cpu().reshape(-1, z.shape[-1])
        space = Subspace.fit(Moments.of(z), pca, residual)
        if len(z) < 20:
            raise InputError(f"z holds {len(z)} samples; a flow needs at least 20")
        if len(space.axes) < 2:
            raise InputError(f"pca is {pca}, which keeps 1 component; a flow needs at least 2")
        generator = seeded(seed)
        x = _standardized(z, space)[torch.randperm(len(z), generator=generator)]
        held_out = x[: int(HELD_OUT * len(x))]
        training = x[int(HELD_OUT * len(x)) :]
        with SeededInit(seeded(seed)):
            flow = build(x.shape[1])
        best = float("inf")
        best_step = 0
        step = 0
        state = {k: v.clone() for k, v in flow.state_dict().items()}
        progress = tqdm(total=steps, desc="flow", leave=False)
        for step in _train(flow, training, steps, batch, lr, generator):
            progress.update()
            if step % CHECK_EVERY == 0 or step == steps:
                with torch.no_grad():
                    cost = -flow().log_prob(held_out).mean().item()
                if cost < best:
                    best = cost
                    best_step = step
                    state = {k: v.clone() for k, v in flow.state_dict().items()}
        progress.close()
        if best == float("inf"):
            raise InputError(
                f"lr is {lr}; expected a smaller number, because the flow's loss is not finite at "
                f"step {step}"
            )
        flow.load_state_dict(state)

        def refit(rest: Tensor, part: Subspace) -> FlowDensity:
            """Fit with as many steps as the best state took: nothing need be held out for that."""
            with SeededInit(seeded(seed)):
                other = build(len(part.axes))
            made = _train(other, _standardized(rest, part), steps, batch, lr, seeded(seed))
            for _ in islice(made, best_step):
                pass
            return cls(part, other.requires_grad_(False), z.new_zeros(0))

        density = cls(space, flow.requires_grad_(False), z.new_zeros(0))
        surprisal = held_out_surprisal(z, density, residual, refit, FOLDS, ENOUGH)
        return replace(density, fit_surprisal=surprisal)

    def log_prob(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return the log-density in nats; differentiable."""
        inside = self.subspace.project(z)
        deviations = self.subspace.variances.sqrt().to(inside.device)
        flow = self._flow_on(inside.device)()
        value = flow.log_prob(inside / deviations) - deviations.log().sum()
        return (value + self.subspace.residual_log_prob(z, inside)).to(z)

    def score(self, z: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return the gradient of the log-density, by automatic differentiation."""
        with gradients():
            z = z.detach().clone().requires_grad_()
            return torch.autograd.grad(self.log_prob(z).sum(), z)[0]

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n embeddings, in float64. Without a residual they lie in the subspace."""
        whole("n", n, 0)
        white = torch.randn(n, len(self.subspace.axes), generator=generator, dtype=torch.float64)
        with torch.no_grad():
            inside = self._flow_on(white.device)().transform.inv(white)
        return self.subspace.reconstruct(inside * self.subspace.variances.sqrt().cpu(), generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save` writes, by name; `from_state_dict` reads them back."""
        flow = {f"flow.{k}": v for k, v in self.flow.state_dict().items()}
        return super().state_dict() | flow

    @classmethod
    @normal_tensors()
    def from_state_dict(cls, tensors: dict[str, Tensor]) -> "FlowDensity":
        """Rebuild a density from its `state_dict`."""
        space = Subspace.from_state_dict(tensors)
        flow = build(len(space.axes)).to(space.mean.device)
        flow.load_state_dict(
            {k.removeprefix("flow."): v for k, v in tensors.items() if k.startswith("flow.")}
        )
        return cls(space, flow.requires_grad_(False), tensors["fit_surprisal"])

    def _flow_on(self, device: torch.device) -> Any:
        """Return the flow on a device. The one that other threads use stays where it is."""
        if device == self.subspace.mean.device:
            return self.flow
        return copy.deepcopy(self.flow).to(device)

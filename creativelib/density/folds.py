"""Surprisals of samples under fits that have not seen them: what quantiles are read off.

A density finds the samples that it was fitted to less surprising than new ones like them, the more
so the fewer they are. So samples are dealt into folds, and those of each fold are judged by a fit
to all others (cross-validation; of quantiles for prediction, Vovk 2015, "Cross-conformal
predictors"). Such a fit knows a fold less than the density itself, so surprisals come out slightly
too large: the tail errs outwards.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..seeds import seeded
from .base import Density
from .moments import Moments
from .subspace import Subspace

# Folds that samples are dealt into.
FOLDS = 10


def held_out_surprisal(
    z: Float[Tensor, "n d"],
    density: Density,
    residual: bool,
    fit: Callable[[Tensor, Subspace], Density],
    folds: int = FOLDS,
    enough: float = math.inf,
) -> Float[Tensor, " m"]:
    """Return surprisals of samples under fits to other ones, in nats, sorted.

    density: the fit to all of them. Fits to a part have at most as many components, so that without
        a residual their surprisals can be compared.
    fit: fits samples in a given subspace.
    enough: no more folds are judged once so many samples are.

    Deals the same samples in the same way, whatever was drawn before. Where what is left after a
    fold is too little for a fit, the density judges its own samples.
    """
    order = torch.randperm(len(z), generator=seeded(0))
    parts = [part for part in order.tensor_split(folds) if len(part)]
    most = len(density.subspace.axes)
    found: list[Tensor] = []
    for i, part in enumerate(parts):
        if sum(map(len, found)) >= enough:
            break
        rest = z[torch.cat(parts[:i] + parts[i + 1 :])] if len(parts) > 1 else z
        try:
            space = Subspace.fit(Moments.of(rest), 1.0, residual, most)
            found.append(fit(rest, space).surprisal(z[part]))
        except InputError:
            return density.surprisal(z).sort().values
    return torch.cat(found).sort().values

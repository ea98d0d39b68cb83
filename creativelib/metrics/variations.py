"""Metrics of variations of a picture, against the rest of its set and against the picture itself.

Source: Semantica (arXiv 2405.14857).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import whole
from .checks import check_embeddings
from .realism import Fidelity, fidelity, frechet


@dataclass(frozen=True)
class FewShot:
    """Quality of variations: a good model is close to the rest of the set without copying."""

    # Fréchet distance to the pictures of the set that were not shown.
    frechet: float
    # Precision, recall, density and coverage against the pictures that were not shown.
    fidelity: Fidelity
    # Mean distance of a variation to the nearest shown picture, in the embeddings' units. It is 0
    # for copies; that of other pictures of the set is the value to compare with.
    distance: float


def fewshot(
    drawn: Float[Tensor, "n d"], rest: Float[Tensor, "m d"], shown: Float[Tensor, "s d"], k: int = 3
) -> FewShot:
    """Compare variations with the rest of the set and with the shown pictures.

    The embeddings must be from an encoder that had no part in making the variations. The shown
    pictures must not be among the rest, or copies of them count as new pictures of the set. Raises
    InputError as `fidelity` and `frechet` do.
    """
    whole("k", k, 1)
    check_embeddings("drawn", drawn, k + 1)
    check_embeddings("rest", rest, k + 1)
    check_embeddings("shown", shown)
    return FewShot(
        frechet=frechet(drawn, rest),
        fidelity=fidelity(drawn, rest, k),
        distance=torch.cdist(drawn, shown).amin(1).mean().item(),
    )

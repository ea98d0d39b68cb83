"""Variations of a picture against the rest of the set that it is from, and against itself (Semantica, arXiv 2405.14857)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .realism import Fidelity, fidelity, frechet


@dataclass(frozen=True)
class FewShot:
    """`fid` and `fidelity` compare with pictures of the set that were not shown. `distance` is that of a variation to the nearest picture
    that was shown, in the embeddings' units, on average: a copier's is 0, and pictures of the set are as far as they happen to be."""

    fid: float
    fidelity: Fidelity
    distance: float


def fewshot(
    drawn: Float[Tensor, "n d"], rest: Float[Tensor, "m d"], shown: Float[Tensor, "s d"], k: int = 3
) -> FewShot:
    """Judge variations by embeddings of an encoder that had no part in making them.

    What was shown must not be among the rest, or copies of it count as being of the set. Raises InputError as `fidelity` and `frechet` do.
    """
    return FewShot(
        frechet(drawn, rest),
        fidelity(drawn, rest, k),
        torch.cdist(drawn, shown).amin(1).mean().item(),
    )

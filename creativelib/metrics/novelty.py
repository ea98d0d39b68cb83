"""Distance of each picture from a reference set.

`Density.surprisal` measures how improbable a picture is.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, whole
from ..fitting.precision import to_float64


def nearest_distance(
    z: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 1
) -> Float[Tensor, " n"]:
    """Compute the distance to the k-th nearest reference picture, in the embeddings' units.

    k = 1 is nearest-neighbor novelty. Broken pictures are far from everything, too, so novelty
    means something only together with validity. The reference must not hold the pictures
    themselves. Raises InputError for a k that is not between 1 and the size of the reference.
    """
    whole("k", k, 0)
    if not 1 <= k <= len(reference):
        raise InputError(
            f"k is {k}; expected 1 to the number of reference pictures, {len(reference)}"
        )
    distances = torch.cdist(
        to_float64(z), to_float64(reference), compute_mode="donot_use_mm_for_euclid_dist"
    )
    return distances.kthvalue(k).values.to(z)

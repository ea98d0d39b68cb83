"""How far each picture is from all that was seen. (How improbable it is says `Density.surprisal`.)"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError


def nearest_distance(
    z: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 1
) -> Float[Tensor, " n"]:
    """The distance to the k-th nearest of what was seen, in the embeddings' units; k = 1 is the novelty of nearest neighbours.

    Broken pictures are far from everything, too: novelty is worth something only together with validity. What was seen must not hold the
    pictures themselves. Raises InputError unless k pictures were seen.
    """
    if not 1 <= k <= len(reference):
        raise InputError(f"k is {k}; expected 1 to the number of pictures seen, {len(reference)}")
    apart = torch.cdist(z.double(), reference.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return apart.kthvalue(k).values.to(z)

"""Similarity of two pictures, pixel by pixel."""

from jaxtyping import Float
from torch import Tensor

from ..pictures import check_pictures


def psnr(a: Float[Tensor, "*#n 3 h w"], b: Float[Tensor, "*#n 3 h w"]) -> Float[Tensor, "*n"]:
    """Compute the peak signal-to-noise ratio of each pair of pictures in [0, 1], in decibels.

    It is infinite for equal pictures and 20 for an error of 0.1. Raises InputError for pictures
    that are not floats in [0, 1].
    """
    check_pictures(a, "... 3 h w", "a")
    check_pictures(b, "... 3 h w", "b")
    return -10 * (a - b).square().mean((-3, -2, -1)).log10()

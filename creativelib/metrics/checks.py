"""What every metric asks of its embeddings."""

from torch import Tensor

from ..errors import InputError


def check_embeddings(name: str, z: Tensor, least: int = 1) -> None:
    """Raise InputError unless there are at least `least` embeddings, and all numbers are finite.

    A single NaN would make a metric NaN, or be taken for a picture like no other. Every function of
    this room calls it for each of its arguments, or `check_pictures`; a test finds those that do
    not.
    """
    if len(z) < least:
        raise InputError(f"{name} holds {len(z)} embeddings; expected at least {least}")
    if not z.numel():
        raise InputError(f"{name} is of shape {tuple(z.shape)}; expected at least one dimension")
    wrong = (~z.isfinite()).nonzero()
    if len(wrong):
        place = wrong[0].tolist()
        raise InputError(f"{name}{place} is {z[tuple(place)].item()}; expected finite numbers")

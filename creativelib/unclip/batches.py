"""Large batches, sent through a network a part at a time."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_batches(function: Callable[..., Tensor], rows: int, *tensors: Tensor) -> Tensor:
    """Apply a function to `rows` rows of the tensors at a time and join the results."""
    parts = zip(*(tensor.split(rows) for tensor in tensors), strict=True)
    return torch.cat([function(*part) for part in parts])

"""Networks that take turns on a small GPU."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class Offloader:
    """Two sets of networks: one is on the device while the other waits in the CPU's memory.

    Differentiate everything that was computed with one set before the other set is loaded: a graph
    needs its weights where they were. Among several threads that takes a `sharing.gpu_turn` from
    the computation to its gradient, as in `optimization.loop`.
    """

    device: torch.device
    # The networks that turn texts into embeddings.
    prior: tuple[nn.Module, ...]
    # The networks that turn embeddings into pictures and back.
    pictures: tuple[nn.Module, ...]

    def onload(self, name: str) -> None:
        """Move the set "prior" or "pictures" to the device and the other set to the CPU."""
        if name == "prior":
            wanted = self.prior
            other = self.pictures
        else:
            wanted = self.pictures
            other = self.prior
        for network in other:
            network.to("cpu")
        for network in wanted:
            network.to(self.device)

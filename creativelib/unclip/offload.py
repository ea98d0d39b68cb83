"""Networks that take turns on a small GPU."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class Offloader:
    """Two sets of networks, of which one is on the device while the other waits in the CPU's memory. What was computed with a graph has to
    be differentiated before the other set is brought."""

    device: torch.device
    prior: tuple[nn.Module, ...]
    pictures: tuple[nn.Module, ...]

    def onload(self, name: str) -> None:
        """Put the set "prior" or "pictures" on the device."""
        coming, going = (
            (self.prior, self.pictures) if name == "prior" else (self.pictures, self.prior)
        )
        for network in going:
            network.to("cpu")
        for network in coming:
            network.to(self.device)

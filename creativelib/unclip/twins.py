"""Networks that compute with other tensors or layers, beside the ones that threads share."""

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def twin(network: Network, changes: Mapping[str, Tensor | nn.Module]) -> Network:
    """Return a network like this one, with other tensors and layers by their dotted names.

    Only the layers on the way to a change are new; all others are shared. The network itself stays
    as it is, so that other threads can use it meanwhile: `torch.func.functional_call` would change
    it for as long as the call takes.
    """
    own = copy.copy(network)
    held = {kind: dict(vars(network)[kind]) for kind in ("_parameters", "_buffers", "_modules")}
    vars(own).update(held)
    inner: dict[str, dict[str, Tensor | nn.Module]] = {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            next(kind for kind in held.values() if name in kind)[name] = value
    for name, own_changes in inner.items():
        held["_modules"][name] = twin(held["_modules"][name], own_changes)
    return own

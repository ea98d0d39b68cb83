"""A simulated Apple GPU: a device without float64, on which nothing really runs.

Tensors are marked as lying there. Inside of `FakeMps` they behave as on the real device: float64 is
a TypeError, tensors of two devices do not mix, NumPy takes none, and results stay on the device.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MPS = torch.device("mps")


class Marked(Tensor):
    """A tensor in the CPU's memory that counts as one of the simulated device."""

    __torch_function__ = torch._C._disabled_torch_function_impl


class FakeMps(TorchFunctionMode):
    """A context in which marked tensors behave like those of an Apple GPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any | None = None
    ) -> Any:
        given = (args, kwargs or {})
        leaves = tree_leaves(given)
        marked = any(isinstance(each, Marked) for each in leaves)
        name = getattr(func, "__name__", "")
        if func == Tensor.device.__get__:
            return MPS if marked else func(*args)
        if name == "numpy" and marked:
            raise TypeError("can't convert mps:0 device type tensor to numpy.")
        moved = self._destination(name, args, leaves)
        if moved is None and name not in ("__getitem__", "copy_"):
            _check_one_device(leaves)
        there = marked if moved is None else moved
        args, kwargs = _map(_to_cpu, given)
        found = func(*args, **kwargs)
        return _map(lambda each: _placed(each, there, leaves), found)

    @staticmethod
    def _destination(name: str, args: Any, leaves: list[Any]) -> bool | None:
        """Say whether results go to the device; None if they stay where the arguments are."""
        if name == "cpu":
            return False
        if name == "to" and len(args) > 1 and isinstance(args[1], Tensor):
            return isinstance(args[1], Marked)
        devices = [torch.device(each) for each in leaves if _is_device(each)]
        return devices[0].type == "mps" if devices else None


def on_mps(values: Tensor) -> Tensor:
    """Mark a tensor; float64 is refused as by the device."""
    return _placed(values, there=True, given=[])


def _map(function: Callable[[Any], Any], values: Any) -> Any:
    """Apply a function to everything in lists, tuples and dictionaries; shapes are no tuples."""
    return tree_map(function, values, is_leaf=lambda each: isinstance(each, torch.Size))


def _is_device(value: object) -> bool:
    named = isinstance(value, str) and value in ("cpu", "mps")
    return named or isinstance(value, torch.device)


def _to_cpu(value: Any) -> Any:
    return torch.device("cpu") if _is_device(value) else value


def _check_one_device(leaves: list[Any]) -> None:
    tensors = [each for each in leaves if isinstance(each, Tensor)]
    # Numbers in tensors may come from the CPU.
    large = [isinstance(each, Marked) for each in tensors if Tensor.dim(each)]
    if any(isinstance(each, Marked) for each in tensors) and not all(large):
        raise RuntimeError("Expected all tensors to be on the same device, mps:0 and cpu!")


def _placed(value: Any, there: bool, given: list[Any]) -> Any:
    if not isinstance(value, Tensor):
        return value
    if not there:
        return value.as_subclass(Tensor)
    if value.dtype == torch.float64:
        raise TypeError(
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
            "float64. Please use float32 instead."
        )
    # What is changed in place stays the same object.
    same = any(value is each for each in given) and isinstance(value, Marked)
    return value if same else value.as_subclass(Marked)

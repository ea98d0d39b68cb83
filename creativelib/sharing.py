"""Share what is loaded: between threads, and between torch's modes.

A call in one thread must not change what another computes, and a call in inference mode must not
leave anything behind that later refuses a gradient.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock, RLock
from typing import Any, Generic, TypeVar

import torch
from cachetools import LRUCache
from torch.overrides import TorchFunctionMode

Key = TypeVar("Key")
Value = TypeVar("Value")
State = TypeVar("State")

# Functions by which networks draw their first weights.
DRAWS = ("kaiming_uniform_", "normal_", "uniform_")

_gpu = RLock()


@contextmanager
def normal_tensors() -> Iterator[None]:
    """Make tensors that work in every mode, even where the caller is in inference mode.

    Those of inference mode refuse to be part of a gradient for as long as they live. Gradients stay
    on or off as they are. It serves as a decorator, too.
    """
    wanted = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(wanted):
        yield


@contextmanager
def gradients() -> Iterator[None]:
    """Build graphs and make normal tensors, whichever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def with_gradients(states: Iterator[State]) -> Iterator[State]:
    """Run every step of an iterator in `gradients`; the caller's mode holds between steps."""
    while True:
        with gradients():
            try:
                state = next(states)
            except StopIteration:
                return
        yield state


def gpu_turn(device: torch.device) -> AbstractContextManager:
    """Let one thread at a time use a GPU; on other devices nothing waits.

    Attention kernels and the recording of CUDA graphs are switched for a whole process, and sets of
    networks that take turns move for all threads. A GPU would run the threads' kernels one after
    the other anyway.
    """
    return _gpu if device.type == "cuda" else nullcontext()


class Remembered(Generic[Key, Value]):
    """The values of the keys that were asked for last, for all threads.

    Nothing waits while a value is made. Threads that ask for the same new one at the same time may
    both make it, and get the first.
    """

    def __init__(self, size: int) -> None:
        self._values: LRUCache[Key, Value] = LRUCache(size)
        self._lock = Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return a key's value, which `make` makes if it is not remembered."""
        return self.get_all([key], lambda _new: [make()])[key]

    def get_all(
        self, keys: Sequence[Key], make: Callable[[list[Key]], Iterable[Value]]
    ) -> dict[Key, Value]:
        """Return the values of keys. `make` makes those that are not remembered, all at once."""
        with self._lock:
            found = {key: self._values[key] for key in keys if key in self._values}
        new = [key for key in dict.fromkeys(keys) if key not in found]
        if not new:
            return found
        with normal_tensors():
            made = dict(zip(new, make(new), strict=True))
        with self._lock:
            kept = {key: self._values.setdefault(key, value) for key, value in made.items()}
        return found | kept


class SeededInit(TorchFunctionMode):
    """A context in which new networks draw their weights from a generator.

    They are the weights that torch would draw after `torch.manual_seed` with the generator's seed,
    but torch's global generator, which all threads share, stays as it is. It holds for the thread
    that enters it.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if getattr(func, "__name__", "") in DRAWS:
            named["generator"] = self.generator
        return func(*args, **named)

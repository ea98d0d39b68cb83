"""What makes a step fast on a GPU: attention for short texts, and CUDA graphs.

A step is thousands of small kernels. Recorded once and replayed, they run without the CPU between them, for which a GPU that works on one
concept waits most of the time.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Result = TypeVar("Result")
EAGER = 2  # calls that are made as usual: most functions are called a few times only, and a recording has to pay for itself
# Texts are some ten tokens long. cuDNN's attention, PyTorch's first choice on new GPUs, computes 128 at once and throws most away: it took
# a third of a step's time (benchmarks/unclip/kandinsky.py).
SHORT = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def short_attention(device: torch.device) -> AbstractContextManager:
    """Attention as it is fastest for short sequences on a GPU; elsewhere as it is."""
    return sdpa_kernel(SHORT) if device.type == "cuda" else nullcontext()


class Replayed(Generic[Result]):
    """A function of tensors that stay where they are: it reads what lies in them, and from its third call on it is replayed.

    Results lie in the graph's own memory: copy what shall outlast the next call. A function that cannot be recorded, since it asks the GPU
    for a value on the way, goes on being called as usual, with a warning. Where there is no GPU nothing is recorded.
    """

    def __init__(self, function: Callable[[], Result], device: torch.device) -> None:
        self.function = function
        self.device = device
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> Result:
        if self.graph is not None:
            self.graph.replay()
            return self.result
        self.calls += 1
        if self.device.type != "cuda" or self.calls != EAGER + 1:
            return self.function()
        return self._record()

    def _record(self) -> Result:
        # As torch.cuda.graph asks for: once more as usual on a stream of its own.
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            result = self.function()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.result = self.function()
        except RuntimeError as error:
            torch.cuda.synchronize(self.device)
            warnings.warn(
                f"this step cannot be recorded as a CUDA graph and runs slower ({str(error).splitlines()[0]})",
                stacklevel=2,
            )
            return result
        self.graph = graph
        return self()

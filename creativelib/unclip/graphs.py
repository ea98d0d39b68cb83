"""Make steps fast on a GPU: attention for short texts, and CUDA graphs.

A step is thousands of small kernels. A GPU that works on a single concept spends most of its time
waiting for the CPU to launch them. Recorded once and replayed, they run without the CPU.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..sharing import gpu_turn

Result = TypeVar("Result")
# Plain calls before the recording. Most functions are called only a few times, and a recording has
# to pay for itself.
EAGER = 2
# Attention kernels for short sequences. Texts have about ten tokens. cuDNN's attention, PyTorch's
# first choice on new GPUs, computes 128 at once and discards most of them: it took a third of a
# step's time (benchmarks/unclip/kandinsky.py).
SHORT = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def short_attention(device: torch.device) -> AbstractContextManager:
    """Select the attention kernels that are fastest for short sequences on a GPU.

    On other devices the context changes nothing. On a GPU it holds for the whole process, so take
    a `sharing.gpu_turn` around it and around whatever else computes attention.
    """
    return sdpa_kernel(SHORT) if device.type == "cuda" else nullcontext()


class Replayed(Generic[Result]):
    """A function of tensors with fixed addresses, replayed as a CUDA graph from its third call on.

    The function reads the current values of these tensors. Results lie in the graph's own memory,
    so copy what has to outlast the next call.

    A function that asks the GPU for a value on the way cannot be recorded. It is called without a
    graph as before, with a warning. Without a GPU nothing is recorded. Threads record one at a
    time, and what others do meanwhile on the GPU is neither recorded nor an error.
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
        with gpu_turn(self.device):
            return self._record()

    def _record(self) -> Result:
        # torch.cuda.graph requires one more plain call, on a stream of its own.
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            result = self.function()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.result = self.function()
        except RuntimeError as error:
            torch.cuda.synchronize(self.device)
            reason = str(error).splitlines()[0]
            warnings.warn(
                f"this step cannot be recorded as a CUDA graph and runs slower ({reason})",
                stacklevel=2,
            )
            return result
        self.graph = graph
        # Recording computes nothing, so the graph runs for the first time here.
        return self()

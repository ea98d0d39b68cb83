"""Precision everywhere; kernels and compilation of a training."""

import os

import torch
from torch import Tensor, nn

# Classes of transformers and diffusers whose instances make up a network.
BLOCKS = ("CLIPEncoderLayer", "BasicTransformerBlock", "ResnetBlock2D")


def to_float64(values: Tensor) -> Tensor:
    """Cast to float64, on the CPU for MPS, which lacks it.

    In float32, surprisals of hundreds of nats lose digits. Results in float64 stay where they are
    computed; `values.to(z)` brings them to the device and the precision of z.
    """
    return (values.cpu() if values.device.type == "mps" else values).double()


def fast_precision(device: str = "cpu") -> torch.autocast:
    """Return an autocast to bfloat16 that is enabled where bfloat16 is fast.

    It is enabled on GPUs and on processors that multiply in bfloat16. On other processors bfloat16
    is ten times slower than float32, so it is disabled there.
    """
    return torch.autocast(
        device,
        torch.bfloat16,
        enabled=device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    )


def configure_process() -> None:
    """Set up a training process: TensorFloat-32 matrix products and the fastest convolutions."""
    # The workers of a pool are processes already.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def compile_blocks(network: nn.Module, device: torch.device) -> None:
    """Compile a network's blocks in place on a GPU; the names of its weights stay the same.

    Blocks of a kind share their compiled code, while a whole UNet takes two minutes. On a CPU
    compilation takes longer than it saves, so nothing happens there.
    """
    if device.type == "cuda":
        # Blocks of one class come in many sizes.
        torch._dynamo.config.recompile_limit = 64
        for module in network.modules():
            if type(module).__name__ in BLOCKS:
                module.compile(dynamic=False)

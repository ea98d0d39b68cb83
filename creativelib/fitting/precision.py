"""How a training computes: in which precision, with which kernels, compiled or not."""

import os

import torch
from torch import nn


def fast_precision(device: str = "cpu") -> torch.autocast:
    """bfloat16 on GPUs, and on processors that multiply in it; on others, where it is ten times slower than float32, float32."""
    return torch.autocast(
        device,
        torch.bfloat16,
        enabled=device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    )


# Of transformers and diffusers: what networks are made of.
BLOCKS = ("CLIPEncoderLayer", "BasicTransformerBlock", "ResnetBlock2D")


def prepare() -> None:
    """Settings of a training process: products of matrices in TensorFloat-32, and the fastest convolutions."""
    os.environ.setdefault(
        "TOKENIZERS_PARALLELISM", "false"
    )  # the pool's workers are processes already
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def compiled(network: nn.Module, device: torch.device) -> None:
    """Have a network's blocks compiled on a GPU, in place, which leaves the names of its weights alone.

    Block by block, since blocks are alike: a whole UNet takes two minutes. On a CPU all of it takes longer than it saves.
    """
    if device.type == "cuda":
        torch._dynamo.config.recompile_limit = 64  # blocks of one class and many sizes
        for module in network.modules():
            if type(module).__name__ in BLOCKS:
                module.compile(dynamic=False)

"""From a folder on disk to frozen networks, through the classes of diffusers and transformers."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from ..errors import InputError
from ..fitting.precision import fast_precision


def usable_device(device: str | torch.device) -> torch.device:
    """The device by name. Raises InputError for one that is unknown or not there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device is {str(device)!r}, which does not work here ({reason}); expected cpu, and cuda with a GPU"
        ) from None


def default_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, bfloat16 on a GPU whose hardware has it, and float16 on others, such as a T4, which only emulate it."""
    if device.type == "cpu":
        return torch.float32
    return (
        torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    )


def gigabytes(folder: Path, dtype: torch.dtype) -> float:
    """What a network's weights take in a precision, read off the headers of its safetensors files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as stored:
            total += sum(math.prod(stored.get_slice(name).get_shape()) for name in stored.keys())
    return total * dtype.itemsize / 1e9


def load_frozen(
    cls: Any, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32
) -> Any:
    """A network of a class of diffusers or transformers from its folder, ready for use and not for training."""
    return (
        cls.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True)
        .to(device)
        .eval()
        .requires_grad_(False)
    )


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Loading tiny models needs no progress bars of other libraries."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def save_half(model: Any, folder: Path) -> None:
    """Write a `from_pretrained` folder in float16 and leave the model itself in float16."""
    model.half().save_pretrained(folder)


@torch.no_grad()
def encode_latents(movq: Any, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c k k"]:
    """Latents of pictures in [0, 1], in float16, a few at a time."""
    with fast_precision(pictures.device.type):
        return torch.cat(
            [
                movq.encode(part * 2 - 1).latents.half()
                for part in pictures.split(rows_at_once(pictures))
            ]
        )


def rows_at_once(pictures: Tensor) -> int:
    """Few pictures at a time fit a processor's cache; a GPU wants many."""
    return 32 if pictures.device.type == "cpu" else 2048

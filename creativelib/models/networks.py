"""Load frozen networks from folders, through the classes of diffusers and transformers."""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from ..errors import InputError
from ..files import atomic_write
from ..fitting.precision import fast_precision
from ..reading import refusing
from ..sharing import normal_tensors

# While transformers and diffusers load, they change how torch makes layers, for all threads.
_loading = RLock()


def usable_device(device: str | torch.device) -> torch.device:
    """Return a device by name. Raises InputError if it is unknown or not available."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device is {str(device)!r}, which does not work here ({reason}); expected cpu, and "
            "cuda with a GPU"
        ) from None


def default_dtype(device: torch.device) -> torch.dtype:
    """Choose the precision of a network's weights.

    float32 on a CPU, bfloat16 on a GPU whose hardware has it, and float16 on other GPUs, such as a
    T4, which only emulate bfloat16.
    """
    if device.type == "cpu":
        return torch.float32
    return (
        torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    )


def gigabytes(files: Sequence[Path], dtype: torch.dtype) -> float:
    """Compute the memory of a network's weights from the headers of its safetensors files."""
    total = 0
    for file in files:
        with safe_open(file, "pt") as stored:
            names = stored.keys()
            total += sum(math.prod(stored.get_slice(name).get_shape()) for name in names)
    return total * dtype.itemsize / 1e9


def describe_weights(model: nn.Module) -> str:
    """Say how many weights a network has, and where they are.

    >>> describe_weights(nn.Linear(1999, 1000))
    '2.0 M weights on cpu, float32'
    """
    weights = list(model.parameters())
    dtype = str(weights[0].dtype).removeprefix("torch.")
    millions = sum(p.numel() for p in weights) / 1e6
    return f"{millions:,.1f} M weights on {weights[0].device}, {dtype}"


@normal_tensors()
def load_frozen(
    cls: Any, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32
) -> Any:
    """Load a network of a class of diffusers or transformers, ready for use, not for training.

    Raises InputError for files that the class cannot read, and for weights that do not fit it: the
    libraries would fill gaps with random numbers.
    """
    what = f"model folder {str(folder)!r}"
    with _loading, refusing(what):
        # `dtype`, the newer name, is unknown to diffusers before 0.40.
        network, info = cls.from_pretrained(
            folder,
            torch_dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    gaps = sorted(str(name) for name in {*info["missing_keys"], *info["mismatched_keys"]})
    if gaps:
        raise InputError(
            f"{what} has no weights that fit for {len(gaps)} tensors of a {cls.__name__}, such as "
            f"{gaps[0]}; expected all of them, fetch it again"
        )
    return network.to(device).eval().requires_grad_(False)


def load_words(cls: Any, folder: Path, least: int) -> Any:
    """Load a tokenizer of a class of transformers.

    least: tokens that it has to know. Raises InputError for files that the class cannot read, and
    for fewer tokens: without its vocabulary, a tokenizer knows its special tokens alone.
    """
    with refusing(f"tokenizer {str(folder)!r}"):
        words = cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        known = len(words)
    check_vocabulary(folder, known, least)
    return words


def check_vocabulary(folder: Path, known: int, least: int) -> None:
    """Raise InputError if a tokenizer knows fewer tokens than it has to."""
    if known < least:
        raise InputError(
            f"tokenizer {str(folder)!r} knows {known} tokens; expected at least {least}, since its "
            "network reads more: fetch its vocabulary again"
        )


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Hide transformers' progress bars, which tiny models do not need.

    Threads load one after the other.
    """
    from transformers.utils import logging

    with _loading:
        enabled = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if enabled:
                logging.enable_progress_bar()


def save_half(model: Any, folder: str | Path) -> None:
    """Write a `from_pretrained` folder in float16, and leave the model itself in float16."""
    with tempfile.TemporaryDirectory() as aside:
        model.half().save_pretrained(aside)
        for file in sorted(Path(aside).iterdir()):
            with atomic_write(Path(folder) / file.name) as part:
                shutil.copyfile(file, part)


@torch.no_grad()
def encode_latents(movq: Any, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c k k"]:
    """Encode pictures in [0, 1] as latents in float16, a few at a time."""
    parts = pictures.split(rows_at_once(pictures))
    with fast_precision(pictures.device.type):
        return torch.cat([movq.encode(part * 2 - 1).latents.half() for part in parts])


def rows_at_once(pictures: Tensor) -> int:
    """Choose how many pictures to process at once: few fit a CPU's cache, a GPU wants many."""
    return 32 if pictures.device.type == "cpu" else 2048

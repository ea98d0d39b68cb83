"""From a folder on disk to frozen networks, through the classes of diffusers and transformers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .errors import InputError


def usable_device(device: str | torch.device) -> torch.device:
    """The device by name. Raises InputError for one that is unknown or not there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device is {str(device)!r}, which does not work here ({reason}); allowed are cpu, and cuda with a GPU") from None


def load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The networks, schedulers, tokenizer and image processor of a checked folder that holds prior/ and decoder/.

    Part by part and not as pipelines: quieter, and every weight comes in the asked precision, whichever it was stored in.
    """
    import diffusers
    from transformers import CLIPImageProcessor, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

    prior, decoder = folder / "prior", folder / "decoder"

    def scheduler(part: Path) -> Any:
        name = json.loads((part / "scheduler_config.json").read_text())["_class_name"]
        return getattr(diffusers, name).from_pretrained(part)

    with quiet():
        return {
            "tokenizer": CLIPTokenizer.from_pretrained(prior / "tokenizer"),
            "text_encoder": frozen(CLIPTextModelWithProjection, prior / "text_encoder", device, dtype),
            "image_encoder": frozen(CLIPVisionModelWithProjection, prior / "image_encoder", device, dtype),
            "image_processor": CLIPImageProcessor.from_pretrained(prior / "image_processor"),
            "prior": frozen(diffusers.PriorTransformer, prior / "prior", device, dtype),
            "prior_scheduler": scheduler(prior / "scheduler"),
            "unet": frozen(diffusers.UNet2DConditionModel, decoder / "unet", device, dtype),
            "movq": frozen(diffusers.VQModel, decoder / "movq", device, dtype),
            "decoder_scheduler": scheduler(decoder / "scheduler"),
        }


def frozen(cls: Any, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    """A network of a class of diffusers or transformers from its folder, ready for use and not for training."""
    return cls.from_pretrained(folder, dtype=dtype, local_files_only=True).to(device).eval().requires_grad_(False)


@contextmanager
def quiet() -> Iterator[None]:
    """Loading tiny models needs no progress bars of other libraries."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()

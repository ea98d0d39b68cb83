"""From a folder on disk to frozen networks, through the classes of diffusers and transformers."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import safe_open
from torch import nn

from .decoders import Decoder, Kandinsky21, Kandinsky22, Karlo
from .errors import InputError
from .pictures import Preprocess
from .zoo import DECODERS, Located

TEXT = 77  # tokens that KandinskyPipeline pads texts to


def usable_device(device: str | torch.device) -> torch.device:
    """The device by name. Raises InputError for one that is unknown or not there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device is {str(device)!r}, which does not work here ({reason}); allowed are cpu, and cuda with a GPU") from None


def default_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, bfloat16 on a GPU whose hardware has it, and float16 on others, such as a T4, which only emulate it."""
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@dataclass(frozen=True, eq=False)
class Stages:
    """Two sets of networks, of which one is on the device while the other waits in the CPU's memory. What was computed with a graph has to
    be differentiated before the other set is brought."""

    device: torch.device
    prior: tuple[nn.Module, ...]
    pictures: tuple[nn.Module, ...]

    def bring(self, name: str) -> None:
        """Put the set "prior" or "pictures" on the device."""
        coming, going = (self.prior, self.pictures) if name == "prior" else (self.pictures, self.prior)
        for network in going:
            network.to("cpu")
        for network in coming:
            network.to(self.device)


def load_parts(found: Located, device: torch.device, dtype: torch.dtype, offload: bool) -> dict[str, Any]:
    """The networks, schedulers, tokenizer and image processor of a stack, as `Pipeline` names them.

    Part by part and not as pipelines: quieter, every weight comes in the asked precision, whichever it was stored in, and no more than one
    part waits in the CPU's memory at a time. Raises InputError where the device has not enough memory left.
    """
    import diffusers
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

    folders = _folders(found)
    sizes = {part: gigabytes(folder, dtype) for part, folder in folders.items()}
    early = sizes["text_encoder"] + sizes["prior"]
    needed = max(early, sum(sizes.values()) - early) if offload else sum(sizes.values())
    free = torch.cuda.mem_get_info(device)[0] / 1e9 if device.type == "cuda" else psutil.virtual_memory().available / 1e9
    if needed > free:
        raise InputError(f"model {found.name!r} needs {needed:.1f} GB for its weights in {str(dtype).removeprefix('torch.')}, and {device} "
                         f"has {free:.1f} GB free; a dtype of half precision or offload=True need less")
    wait = torch.device("cpu") if offload else device
    prior = found.prior
    eyes = next((each for each in ("image_processor", "feature_extractor") if (found.eyes / each).is_dir()), "")
    with quiet():
        parts = {
            "tokenizer": CLIPTokenizer.from_pretrained(prior / "tokenizer"),
            "text_encoder": frozen(CLIPTextModelWithProjection, folders["text_encoder"], device, dtype),
            "image_encoder": frozen(CLIPVisionModelWithProjection, folders["image_encoder"], wait, dtype),
            "preprocess": Preprocess.read(found.eyes / eyes),
            "prior": frozen(diffusers.PriorTransformer, folders["prior"], device, dtype),
            "prior_scheduler": _scheduler(prior / ("prior_scheduler" if found.kinds[0] == "UnCLIPPipeline" else "scheduler")),
        }
        parts["decoder"] = _decoder(found, wait, device, dtype, parts)
    if offload:
        parts["stages"] = Stages(device, (parts["text_encoder"], parts["prior"]), (parts["image_encoder"], *parts["decoder"].networks))
    return parts


def gigabytes(folder: Path, dtype: torch.dtype) -> float:
    """What a network's weights take in a precision, read off the headers of its safetensors files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as stored:
            total += sum(math.prod(stored.get_slice(name).get_shape()) for name in stored.keys())  # noqa: SIM118 - it is no dict
    return total * dtype.itemsize / 1e9


def _folders(found: Located) -> dict[str, Path]:
    """Of every network that stays: the second text encoder of Kandinsky 2.1 reads the empty text once and goes."""
    eyes = found.eyes / "image_encoder"
    kept = [part for part in DECODERS[found.kinds[1]] if part not in ("tokenizer", "text_encoder") and "scheduler" not in part]
    return {"text_encoder": found.prior / "text_encoder", "image_encoder": eyes if eyes.is_dir() else found.eyes,
            "prior": found.prior / "prior", **{part: found.decoder / part for part in kept}}


def _scheduler(folder: Path) -> Any:
    import diffusers

    return getattr(diffusers, json.loads((folder / "scheduler_config.json").read_text())["_class_name"]).from_pretrained(folder)


def _decoder(found: Located, wait: torch.device, device: torch.device, dtype: torch.dtype, parts: dict[str, Any]) -> Decoder:
    """The decoder, told the empty text where it reads one."""
    from diffusers import UNet2DConditionModel, UNet2DModel, VQModel

    folder = found.decoder
    if found.kinds[1] == "UnCLIPPipeline":
        from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

        told = parts["tokenizer"]([""], padding="max_length", return_tensors="pt").to(device)
        said = parts["text_encoder"](told.input_ids)
        return Karlo(frozen(UNet2DConditionModel, folder / "decoder", wait, dtype), _scheduler(folder / "decoder_scheduler"),
                     frozen(UnCLIPTextProjModel, folder / "text_proj", wait, dtype),
                     frozen(UNet2DModel, folder / "super_res_first", wait, dtype),
                     frozen(UNet2DModel, folder / "super_res_last", wait, dtype),
                     _scheduler(folder / "super_res_scheduler"), said.text_embeds, said.last_hidden_state, told.attention_mask.bool())
    text = ()
    if found.kinds[1] == "KandinskyPipeline":
        from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
        from transformers import AutoTokenizer

        words = AutoTokenizer.from_pretrained(folder / "tokenizer")
        told = words([""], padding="max_length", max_length=TEXT, return_tensors="pt").to(device)
        text = frozen(MultilingualCLIP, folder / "text_encoder", device, dtype)(told.input_ids, told.attention_mask)
    unet, movq = frozen(UNet2DConditionModel, folder / "unet", wait, dtype), frozen(VQModel, folder / "movq", wait, dtype)
    scheduler = _scheduler(folder / "scheduler")
    return Kandinsky21(unet, scheduler, movq, *text) if text else Kandinsky22(unet, scheduler, movq)


def frozen(cls: Any, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    """A network of a class of diffusers or transformers from its folder, ready for use and not for training."""
    return cls.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True).to(device).eval().requires_grad_(False)


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

"""From a folder on disk to the networks of an unCLIP stack."""

import json
from pathlib import Path
from typing import Any

import psutil
import torch

from ..errors import InputError
from ..models.location import ModelFiles
from ..models.names import DECODERS
from ..models.networks import gigabytes, hide_progress_bars, load_frozen
from ..pictures import Preprocess
from .decoders import Decoder, Kandinsky21, Kandinsky22, Karlo
from .offload import Offloader

TEXT = 77  # tokens that KandinskyPipeline pads texts to


def load_parts(
    found: ModelFiles, device: torch.device, dtype: torch.dtype, offload: bool
) -> dict[str, Any]:
    """The networks, schedulers, tokenizer and image processor of a stack, as `Pipeline` names them.

    Part by part and not as pipelines: quieter, every weight comes in the asked precision, whichever it was stored in, and no more than one
    part waits in the CPU's memory at a time. Raises InputError where the device has not enough memory left.
    """
    import diffusers
    from transformers import (
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionModelWithProjection,
    )

    folders = _folders(found)
    sizes = {part: gigabytes(folder, dtype) for part, folder in folders.items()}
    early = sizes["text_encoder"] + sizes["prior"]
    needed = max(early, sum(sizes.values()) - early) if offload else sum(sizes.values())
    free = (
        torch.cuda.mem_get_info(device)[0] / 1e9
        if device.type == "cuda"
        else psutil.virtual_memory().available / 1e9
    )
    if needed > free:
        raise InputError(
            f"model {found.name!r} needs {needed:.1f} GB for its weights in {str(dtype).removeprefix('torch.')}, and {device} "
            f"has {free:.1f} GB free; a dtype of half precision or offload=True need less"
        )
    wait = torch.device("cpu") if offload else device
    prior = found.prior
    eyes = next(
        (
            each
            for each in ("image_processor", "feature_extractor")
            if (found.image_encoder / each).is_dir()
        ),
        "",
    )
    with hide_progress_bars():
        parts = {
            "tokenizer": CLIPTokenizer.from_pretrained(prior / "tokenizer"),
            "text_encoder": load_frozen(
                CLIPTextModelWithProjection, folders["text_encoder"], device, dtype
            ),
            "image_encoder": load_frozen(
                CLIPVisionModelWithProjection, folders["image_encoder"], wait, dtype
            ),
            "preprocess": Preprocess.read(found.image_encoder / eyes),
            "prior": load_frozen(diffusers.PriorTransformer, folders["prior"], device, dtype),
            "prior_scheduler": _scheduler(
                prior
                / (
                    "prior_scheduler"
                    if found.pipeline_classes[0] == "UnCLIPPipeline"
                    else "scheduler"
                )
            ),
        }
        parts["decoder"] = _decoder(found, wait, device, dtype, parts)
    if offload:
        parts["stages"] = Offloader(
            device,
            (parts["text_encoder"], parts["prior"]),
            (parts["image_encoder"], *parts["decoder"].networks),
        )
    return parts


def _folders(found: ModelFiles) -> dict[str, Path]:
    """Of every network that stays: the second text encoder of Kandinsky 2.1 reads the empty text once and goes."""
    eyes = found.image_encoder / "image_encoder"
    kept = [
        part
        for part in DECODERS[found.pipeline_classes[1]]
        if part not in ("tokenizer", "text_encoder") and "scheduler" not in part
    ]
    return {
        "text_encoder": found.prior / "text_encoder",
        "image_encoder": eyes if eyes.is_dir() else found.image_encoder,
        "prior": found.prior / "prior",
        **{part: found.decoder / part for part in kept},
    }


def _scheduler(folder: Path) -> Any:
    import diffusers

    return getattr(
        diffusers, json.loads((folder / "scheduler_config.json").read_text())["_class_name"]
    ).from_pretrained(folder)


def _decoder(
    found: ModelFiles,
    wait: torch.device,
    device: torch.device,
    dtype: torch.dtype,
    parts: dict[str, Any],
) -> Decoder:
    """The decoder, told the empty text where it reads one."""
    from diffusers import UNet2DConditionModel, UNet2DModel, VQModel

    folder = found.decoder
    if found.pipeline_classes[1] == "UnCLIPPipeline":
        from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

        told = parts["tokenizer"]([""], padding="max_length", return_tensors="pt").to(device)
        said = parts["text_encoder"](told.input_ids)
        return Karlo(
            load_frozen(UNet2DConditionModel, folder / "decoder", wait, dtype),
            _scheduler(folder / "decoder_scheduler"),
            load_frozen(UnCLIPTextProjModel, folder / "text_proj", wait, dtype),
            load_frozen(UNet2DModel, folder / "super_res_first", wait, dtype),
            load_frozen(UNet2DModel, folder / "super_res_last", wait, dtype),
            _scheduler(folder / "super_res_scheduler"),
            said.text_embeds,
            said.last_hidden_state,
            told.attention_mask.bool(),
        )
    text = ()
    if found.pipeline_classes[1] == "KandinskyPipeline":
        from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
        from transformers import AutoTokenizer

        words = AutoTokenizer.from_pretrained(folder / "tokenizer")
        told = words([""], padding="max_length", max_length=TEXT, return_tensors="pt").to(device)
        text = load_frozen(MultilingualCLIP, folder / "text_encoder", device, dtype)(
            told.input_ids, told.attention_mask
        )
    unet = load_frozen(UNet2DConditionModel, folder / "unet", wait, dtype)
    movq = load_frozen(VQModel, folder / "movq", wait, dtype)
    scheduler = _scheduler(folder / "scheduler")
    return Kandinsky21(unet, scheduler, movq, *text) if text else Kandinsky22(unet, scheduler, movq)

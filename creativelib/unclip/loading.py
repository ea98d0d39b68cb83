"""Load the networks of an unCLIP stack from folders on disk."""

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
from .schedulers import SCHEDULERS, check_decoder_scheduler, check_prior_scheduler

TEXT_LENGTH = 77  # tokens that KandinskyPipeline pads texts to


def load_parts(
    files: ModelFiles, device: torch.device, dtype: torch.dtype, offload: bool
) -> dict[str, Any]:
    """Load the networks, schedulers, tokenizer and image processor, named as `Pipeline`'s fields.

    They are loaded part by part and not as pipelines: this is quieter, every weight gets the same
    precision whichever it was stored in, and at most one part waits in the CPU's memory at a time.
    Raises InputError if the device has too little free memory, and for schedulers that cannot be
    sampled with.
    """
    import diffusers
    from transformers import (
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionModelWithProjection,
    )

    _check_schedulers(files)
    folders = _network_folders(files)
    _check_memory(files.name, folders, device, dtype, offload)
    # With offloading, the networks of the second half wait on the CPU.
    waiting = torch.device("cpu") if offload else device
    prior = files.prior
    scheduler = "prior_scheduler" if files.pipeline_classes[0] == "UnCLIPPipeline" else "scheduler"
    with hide_progress_bars():
        parts = {
            "tokenizer": CLIPTokenizer.from_pretrained(prior / "tokenizer"),
            "text_encoder": load_frozen(
                CLIPTextModelWithProjection, folders["text_encoder"], device, dtype
            ),
            "image_encoder": load_frozen(
                CLIPVisionModelWithProjection, folders["image_encoder"], waiting, dtype
            ),
            "preprocess": Preprocess.read(_processor_folder(files.image_encoder)),
            "prior": load_frozen(diffusers.PriorTransformer, folders["prior"], device, dtype),
            "prior_scheduler": _load_scheduler(prior / scheduler),
        }
        parts["decoder"] = _load_decoder(files, waiting, device, dtype, parts)
    # A tokenizer remembers how it was called last. From now on nobody asks it to pad, so that
    # threads can share it.
    parts["tokenizer"]("")
    if offload:
        parts["offloader"] = Offloader(
            device=device,
            prior=(parts["text_encoder"], parts["prior"]),
            pictures=(parts["image_encoder"], *parts["decoder"].networks),
        )
    return parts


def _network_folders(files: ModelFiles) -> dict[str, Path]:
    """Return the folder of every network that stays in memory.

    The second text encoder of Kandinsky 2.1 is not among them: it reads the empty text once.
    """
    image_encoder = files.image_encoder / "image_encoder"
    networks = [
        part
        for part in DECODERS[files.pipeline_classes[1]]
        if part not in ("tokenizer", "text_encoder") and "scheduler" not in part
    ]
    return {
        "text_encoder": files.prior / "text_encoder",
        "image_encoder": image_encoder if image_encoder.is_dir() else files.image_encoder,
        "prior": files.prior / "prior",
        **{part: files.decoder / part for part in networks},
    }


def _processor_folder(folder: Path) -> Path:
    """Return the folder of the image encoder's processor, whose name depends on the pipeline."""
    for name in ("image_processor", "feature_extractor"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _check_memory(
    name: str, folders: dict[str, Path], device: torch.device, dtype: torch.dtype, offload: bool
) -> None:
    """Raise InputError if the weights do not fit into the device's free memory."""
    sizes = {part: gigabytes(folder, dtype) for part, folder in folders.items()}
    total = sum(sizes.values())
    first_half = sizes["text_encoder"] + sizes["prior"]
    needed = max(first_half, total - first_half) if offload else total
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] / 1e9
    else:
        free = psutil.virtual_memory().available / 1e9
    if needed > free:
        raise InputError(
            f"model {name!r} needs {needed:.1f} GB for its weights in "
            f"{str(dtype).removeprefix('torch.')}, and {device} has {free:.1f} GB free; a dtype of "
            "half precision or offload=True need less"
        )


def _check_schedulers(files: ModelFiles) -> None:
    """Raise InputError for schedulers that cannot be sampled with, before the networks are read."""
    karlo = [name == "UnCLIPPipeline" for name in files.pipeline_classes]
    prior = files.prior / ("prior_scheduler" if karlo[0] else "scheduler")
    decoder = files.decoder / ("decoder_scheduler" if karlo[1] else "scheduler")
    check_prior_scheduler(_load_scheduler(prior))
    check_decoder_scheduler(_load_scheduler(decoder))


def _load_scheduler(folder: Path) -> Any:
    """Load a scheduler. Raises InputError for one that nothing can be sampled with."""
    import diffusers

    name = json.loads((folder / "scheduler_config.json").read_text(encoding="utf-8"))["_class_name"]
    if name not in SCHEDULERS:
        raise InputError(
            f"the scheduler in {str(folder)!r} is of class {name}; expected {', '.join(SCHEDULERS)}"
        )
    return getattr(diffusers, name).from_pretrained(folder)


def _load_decoder(
    files: ModelFiles,
    waiting: torch.device,
    device: torch.device,
    dtype: torch.dtype,
    parts: dict[str, Any],
) -> Decoder:
    """Load the decoder onto `waiting`. One that also reads texts keeps the encoded empty text."""
    folder = files.decoder
    pipeline_class = files.pipeline_classes[1]
    if pipeline_class == "UnCLIPPipeline":
        return _load_karlo(folder, waiting, device, dtype, parts)
    from diffusers import UNet2DConditionModel, VQModel

    empty_text = ()
    if pipeline_class == "KandinskyPipeline":
        empty_text = _encode_empty_text(folder, device, dtype)
    unet = load_frozen(UNet2DConditionModel, folder / "unet", waiting, dtype)
    movq = load_frozen(VQModel, folder / "movq", waiting, dtype)
    scheduler = _load_scheduler(folder / "scheduler")
    if empty_text:
        return Kandinsky21(unet, scheduler, movq, *empty_text)
    return Kandinsky22(unet, scheduler, movq)


def _encode_empty_text(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """Encode the empty text with the text encoder of Kandinsky 2.1's decoder."""
    from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    tokens = tokenizer([""], padding="max_length", max_length=TEXT_LENGTH, return_tensors="pt").to(
        device
    )
    encoder = load_frozen(MultilingualCLIP, folder / "text_encoder", device, dtype)
    return encoder(tokens.input_ids, tokens.attention_mask)


def _load_karlo(
    folder: Path,
    waiting: torch.device,
    device: torch.device,
    dtype: torch.dtype,
    parts: dict[str, Any],
) -> Karlo:
    """Load Karlo's decoder, whose empty text the prior's text encoder reads."""
    from diffusers import UNet2DConditionModel, UNet2DModel
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    tokens = parts["tokenizer"]([""], padding="max_length", return_tensors="pt").to(device)
    encoded = parts["text_encoder"](tokens.input_ids)
    return Karlo(
        unet=load_frozen(UNet2DConditionModel, folder / "decoder", waiting, dtype),
        scheduler=_load_scheduler(folder / "decoder_scheduler"),
        text_proj=load_frozen(UnCLIPTextProjModel, folder / "text_proj", waiting, dtype),
        super_first=load_frozen(UNet2DModel, folder / "super_res_first", waiting, dtype),
        super_last=load_frozen(UNet2DModel, folder / "super_res_last", waiting, dtype),
        super_scheduler=_load_scheduler(folder / "super_res_scheduler"),
        pooled=encoded.text_embeds,
        tokens=encoded.last_hidden_state,
        mask=tokens.attention_mask.bool(),
    )

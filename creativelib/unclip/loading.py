"""Load the networks of an unCLIP stack from folders on disk."""

from pathlib import Path
from typing import Any

import psutil
import torch

from ..errors import InputError, shown
from ..models.folders import read_part
from ..models.location import ModelFiles
from ..models.networks import gigabytes, hide_progress_bars, load_frozen, load_words
from ..models.parts import CLIP_TEXT, CLIP_VISION, DECODERS, PRIOR, SCHEDULER, Part
from ..models.weights import weight_files
from ..pictures import Preprocess
from ..reading import refusing
from .decoders import Decoder, Kandinsky21, Kandinsky22, Karlo
from .offload import Offloader
from .schedulers import check_decoder_scheduler, check_prior_scheduler

TEXT_LENGTH = 77  # tokens that KandinskyPipeline pads texts to
MAX_TIMES = 100_000  # that a scheduler counts; real ones count a thousand


def load_parts(
    files: ModelFiles, device: torch.device, dtype: torch.dtype, offload: bool
) -> dict[str, Any]:
    """Load the networks, schedulers, tokenizer and image processor, named as `Pipeline`'s fields.

    They are loaded part by part and not as pipelines: this is quieter, every weight gets the same
    precision whichever it was stored in, and at most one part waits in the CPU's memory at a time.
    Raises InputError if the device has too little free memory, for files that do not fit, and for
    schedulers that cannot be sampled with.
    """
    import diffusers
    from transformers import (
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionModelWithProjection,
    )

    _check_schedulers(files)
    networks = _networks(files)
    _check_memory(files.name, networks, device, dtype, offload)
    folders = {part: folder for part, (folder, _) in networks.items()}
    # With offloading, the networks of the second half wait on the CPU.
    waiting = torch.device("cpu") if offload else device
    prior = files.prior
    scheduler = "prior_scheduler" if files.pipeline_classes[0] == "UnCLIPPipeline" else "scheduler"
    with hide_progress_bars():
        text_encoder = load_frozen(
            CLIPTextModelWithProjection, folders["text_encoder"], device, dtype
        )
        tokenizer = load_words(
            CLIPTokenizer, prior / "tokenizer", least=text_encoder.config.vocab_size // 2
        )
        _check_length(tokenizer, text_encoder)
        parts = {
            "tokenizer": tokenizer,
            "text_encoder": text_encoder,
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


def _networks(files: ModelFiles) -> dict[str, tuple[Path, Part]]:
    """Return the folder and the kind of every network that stays in memory.

    The second text encoder of Kandinsky 2.1 is not among them: it reads the empty text once.
    """
    image_encoder = files.image_encoder / "image_encoder"
    decoder = {
        name: (files.decoder / name, part)
        for name, part in DECODERS[files.pipeline_classes[1]].items()
        if part.weights and name != "text_encoder"
    }
    return {
        "text_encoder": (files.prior / "text_encoder", CLIP_TEXT),
        "image_encoder": (
            image_encoder if image_encoder.is_dir() else files.image_encoder,
            CLIP_VISION,
        ),
        "prior": (files.prior / "prior", PRIOR),
        **decoder,
    }


def _processor_folder(folder: Path) -> Path:
    """Return the folder of the image encoder's processor, whose name depends on the pipeline."""
    for name in ("image_processor", "feature_extractor"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _check_memory(
    name: str,
    networks: dict[str, tuple[Path, Part]],
    device: torch.device,
    dtype: torch.dtype,
    offload: bool,
) -> None:
    """Raise InputError if the weights do not fit into the device's free memory."""
    sizes = {
        each: gigabytes(weight_files(folder, part), dtype)
        for each, (folder, part) in networks.items()
    }
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


def _check_length(tokenizer: Any, text_encoder: Any) -> None:
    """Raise InputError if texts may get longer than the text encoder reads."""
    length = tokenizer.model_max_length
    longest = text_encoder.config.max_position_embeddings
    if type(length) is not int or not 1 <= length <= longest:
        raise InputError(
            f"tokenizer {tokenizer.name_or_path!r} has model_max_length {shown(length)}; "
            f"expected a whole number up to the text encoder's {longest}"
        )


def _load_scheduler(folder: Path) -> Any:
    """Make the scheduler that a folder describes, of one of the known classes."""
    import diffusers

    config = read_part(folder, SCHEDULER)
    times = config.get("num_train_timesteps", 1000)
    if type(times) is not int or not 2 <= times <= MAX_TIMES:
        raise InputError(
            f"scheduler {str(folder)!r} has num_train_timesteps {shown(times)}; expected "
            f"a whole number from 2 to {MAX_TIMES}"
        )
    with refusing(f"scheduler {str(folder)!r}"):
        return getattr(diffusers, config["_class_name"]).from_config(config)


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
    from transformers import XLMRobertaTokenizer

    encoder = load_frozen(MultilingualCLIP, folder / "text_encoder", device, dtype)
    tokenizer = load_words(
        XLMRobertaTokenizer, folder / "tokenizer", least=encoder.config.vocab_size // 2
    )
    tokens = tokenizer([""], padding="max_length", max_length=TEXT_LENGTH, return_tensors="pt").to(
        device
    )
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

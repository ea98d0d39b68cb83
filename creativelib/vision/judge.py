"""The judge: a second CLIP that nothing is optimized against.

An optimized embedding fools the CLIP it was optimized on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..errors import InputError, listed, shown
from ..models.folders import lacking, read_config, read_part
from ..models.hub import snapshot
from ..models.location import bundled
from ..models.networks import check_vocabulary, describe_weights, hide_progress_bars, usable_device
from ..models.parts import JUDGE, JUDGE_WORDS, Part
from ..pictures import check_pictures, fit_picture
from ..reading import refusing
from ..sharing import gpu_turn, normal_tensors

BATCH_PICTURES = 128  # pictures embedded at once
# open_clip reads the first of these files of weights that exists.
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
)
SAFE_WEIGHTS = tuple(name for name in WEIGHTS if name.endswith(".safetensors"))
# "random" interpolation is for training; open_clip uses bicubic otherwise.
INTERPOLATIONS = ("bicubic", "random")
RESIZE_MODES = ("shortest", "squash")
CONFIG = "open_clip_config.json"
# Keys of a model's description in its configuration. Two of them describe its halves, whose keys
# are the fields of classes of open_clip.
MODEL_KEYS = {
    "custom_text",
    "embed_dim",
    "init_logit_bias",
    "init_logit_scale",
    "multimodal_cfg",
    "nonscalar_logit_scale",
    "quick_gelu",
    "text_cfg",
    "vision_cfg",
}
# Settings of tokenizers, all of which are about texts.
WORDS_KEYS = {"clean", "model_max_length", "reduction_mask", "strip_sep_token"}


@dataclass(frozen=True, eq=False)
class Judge:
    """A CLIP of open_clip's classes with its tokenizer and its preprocessing."""

    model: Any
    tokenizer: Any
    # Side of the pictures that the model takes, in pixels.
    size: int
    # Mean and standard deviation of each color channel.
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    # Whether a picture that is not square is pressed into a square instead of cut to its center.
    squash: bool

    def __repr__(self) -> str:
        return f"Judge({describe_weights(self.model)})\n  pictures of {self.size} x {self.size}"

    @classmethod
    @normal_tensors()
    def load(
        cls,
        name_or_path: str | Path = "menagerie",
        device: str | torch.device = "cpu",
        revision: str | None = None,
    ) -> "Judge":
        """Load a judge in float32.

        name_or_path: "menagerie" for the bundled one, a folder that open_clip's `local-dir:` reads,
            or an id on the hub such as "laion/CLIP-ViT-B-32-laion2B-s34B-b79K".
        revision: the hub's.

        Raises InputError for an unknown device, for damaged bundled files, as
        `models.folders.read_part` does, and for a model without open_clip_config.json, with unknown
        settings, with a text encoder of another repository, or with another preprocessing.
        """
        import open_clip

        device = usable_device(device)
        if str(name_or_path) == "menagerie":
            name_or_path = bundled("judge")
        if Path(name_or_path).is_dir():
            folder = Path(name_or_path)
        else:
            folder = snapshot(str(name_or_path), _lacks, revision).folder
        name = f"judge is {str(name_or_path)!r}"
        config = _read(name, folder)
        own_words = bool(config["text_cfg"].get("hf_tokenizer_name"))
        safe: dict[str, Any] = {}
        if own_words:
            safe = {"trust_remote_code": False, "local_files_only": True}
        with hide_progress_bars(), refusing(f"{name}, which"):
            model: Any = open_clip.create_model(f"local-dir:{folder}", device=device)
            tokenizer: Any = open_clip.get_tokenizer(f"local-dir:{folder}", **safe)
            known = len(tokenizer.tokenizer) if own_words else tokenizer.vocab_size
            least = config["text_cfg"].get("vocab_size", known) // 2
            # A tokenizer remembers how it was called last. All calls are alike, so that after this
            # one threads can share it.
            tokenizer([""])
        check_vocabulary(folder, known, least)
        config = model.visual.preprocess_cfg
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else size
        if (
            height != width
            or config["interpolation"] not in INTERPOLATIONS
            or config["resize_mode"] not in RESIZE_MODES
        ):
            raise InputError(
                f"{name}, which takes {height} x {width} pixels, {config['interpolation']}, "
                f"{config['resize_mode']}; expected a square, bicubic, shortest or squash"
            )
        return cls(
            model=model.float().eval().requires_grad_(False),
            tokenizer=tokenizer,
            size=height,
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            squash=config["resize_mode"] == "squash",
        )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def encode_images(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Embed pictures in [0, 1] as unit vectors. Raises InputError for other values."""
        check_pictures(pictures)
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        size = (self.size, self.size)
        parts = []
        for part in pictures.split(BATCH_PICTURES):
            part = part.to(self.device).float()
            if self.squash:
                part = interpolate(part, size, mode="bicubic", antialias=True).clamp(0, 1)
            pixels = fit_picture(part, self.size, self.size)
            with gpu_turn(self.device):
                parts.append(self.model.encode_image((pixels - mean) / std))
        return normalize(torch.cat(parts), dim=-1)

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Embed prompts as unit vectors. Raises InputError unless they are a list of texts."""
        tokens = self.tokenizer(list(listed("prompts", prompts))).to(self.device)
        with gpu_turn(self.device):
            return normalize(self.model.encode_text(tokens), dim=-1)

    def classify(
        self, pictures: Float[Tensor, "n 3 h w"], prompts: Sequence[str]
    ) -> Int[Tensor, " n"]:
        """Find the index of the most similar prompt for each picture."""
        return (self.encode_images(pictures) @ self.encode_text(prompts).T).argmax(1)


def _lacks(folder: Path) -> str:
    """Name the first file of a judge that is not in the folder; empty if all are there."""
    missing = lacking(folder, [JUDGE])
    return missing or lacking(folder, _parts(read_config(folder / CONFIG, folder)))


def _parts(config: dict[str, Any]) -> list[Part]:
    """Return the parts that a configuration asks for: a tokenizer of its own is one more."""
    model = config.get("model_cfg")
    text = model.get("text_cfg") if isinstance(model, dict) else None
    own_words = isinstance(text, dict) and text.get("hf_tokenizer_name")
    return [JUDGE, JUDGE_WORDS] if own_words else [JUDGE]


def _read(name: str, folder: Path) -> dict[str, Any]:
    """Check a judge's files and settings, and return the description of its model."""
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"{name}, without open_clip_config.json; expected 'menagerie', or a folder or an id on "
            "the hub with it"
        )
    config = read_config(folder / CONFIG, folder)
    weights = next((file for file in WEIGHTS if (folder / file).is_file()), "no file")
    if weights not in SAFE_WEIGHTS:
        raise InputError(f"{name}, with {weights} as weights; expected {', '.join(SAFE_WEIGHTS)}")
    for part in _parts(config):
        read_part(folder, part)
    return _check_model(name, config)


def _check_model(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the description of the model. Raises InputError for keys that are not known.

    A vision encoder of timm's goes by its plain name: timm would look for any other name elsewhere.
    """
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    model = _settings(name, "model_cfg", config.get("model_cfg"), MODEL_KEYS)
    halves = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}
    vision, text = (
        _settings(name, key, model.get(key), set(cls.__dataclass_fields__))
        for key, cls in halves.items()
    )
    _settings(name, "tokenizer_kwargs", text.get("tokenizer_kwargs", {}), WORDS_KEYS)
    timm = vision.get("timm_model_name", "plain")
    if not isinstance(timm, str) or not re.fullmatch(r"[\w.]+", timm):
        raise InputError(
            f"{name}, with timm_model_name {shown(timm)}; expected the name of a model"
        )
    return model


def _settings(name: str, key: str, value: object, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name}, with {key} {shown(value)}; expected an object, {{...}}")
    unknown = sorted(set(value) - known)
    if unknown:
        raise InputError(
            f"{name}, with {', '.join(unknown)[:60]} in {key}; expected {', '.join(sorted(known))}"
        )
    return value

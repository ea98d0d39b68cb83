"""The judge: a second CLIP that nothing is optimized against.

An optimized embedding fools the CLIP it was optimized on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..errors import InputError, listed
from ..models.hub import snapshot
from ..models.location import bundled
from ..models.networks import describe_weights, hide_progress_bars, usable_device
from ..pictures import check_pictures, fit_picture
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

        Raises InputError for an unknown device, for damaged bundled files, and for a model without
        open_clip_config.json, without weights in safetensors that fit it, with code of its own, or
        with another preprocessing.
        """
        import open_clip

        device = usable_device(device)
        if str(name_or_path) == "menagerie":
            name_or_path = bundled("judge")
        if Path(name_or_path).is_dir():
            folder = Path(name_or_path)
        else:
            folder = snapshot(str(name_or_path), revision).folder
        name = f"judge is {str(name_or_path)!r}"
        _check_files(name, folder)
        try:
            with hide_progress_bars():
                model: Any = open_clip.create_model(f"local-dir:{folder}", device=device)
                tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{name}, which cannot be loaded ({reason}); expected a model of open_clip's with "
                "its weights and its tokenizer"
            ) from None
        # A tokenizer remembers how it was called last. All calls are alike, so that after this one
        # threads can share it.
        tokenizer([""])
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


def _check_files(name: str, folder: Path) -> None:
    """Raise InputError unless a folder has a configuration and weights that are safe to load."""
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise InputError(
            f"{name}, without open_clip_config.json; expected 'menagerie', or a folder or an id on "
            "the hub with it"
        )
    # open_clip passes this setting on to transformers, which would run the model's own code.
    if "trust_remote_code" in config.read_text(encoding="utf-8"):
        raise InputError(
            f"{name}, which wants to run code of its own; expected a model without "
            "trust_remote_code"
        )
    weights = next((file for file in WEIGHTS if (folder / file).is_file()), "no file")
    if weights not in SAFE_WEIGHTS:
        raise InputError(f"{name}, with {weights} as weights; expected {', '.join(SAFE_WEIGHTS)}")

"""The judge: a second CLIP that nothing is optimised against. An optimised embedding fools the CLIP it was optimised on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..errors import InputError
from ..models.hub import snapshot
from ..models.location import verify
from ..models.names import MODELS
from ..models.networks import usable_device
from ..pictures import fit_picture

ROWS = 128  # pictures embedded at once
# The files of weights in open_clip's order: the first one there is read.
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
)


@dataclass(frozen=True, eq=False)
class Judge:
    """A CLIP of open_clip's classes with its tokenizer. `size`, `mean` and `std` are those of its preprocessing; `squash`: it sees all of a
    picture that is not square, pressed into a square, in place of its centre."""

    model: Any
    tokenizer: Any
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    squash: bool

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "menagerie",
        device: str | torch.device = "cpu",
        revision: str | None = None,
    ) -> "Judge":
        """The bundled judge by name, a folder that open_clip's `local-dir:` reads, or an id on the hub such as
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", there at a `revision`. In float32.

        Raises InputError for an unknown device, damaged bundled files, and where there is no open_clip_config.json, no weights in
        safetensors that fit it, or a preprocessing that is not this one.
        """
        import open_clip

        where = usable_device(device)
        bundled = MODELS["menagerie"].folder
        if str(name_or_path) == "menagerie" and bundled is not None:
            verify(bundled)
            name_or_path = bundled / "judge"
        folder = (
            Path(name_or_path)
            if Path(name_or_path).is_dir()
            else snapshot(str(name_or_path), revision).folder
        )
        told = f"judge is {str(name_or_path)!r}"
        if not (folder / "open_clip_config.json").is_file():
            raise InputError(
                f"{told}, without open_clip_config.json; expected 'menagerie', and a folder and an id on the hub with it"
            )
        # open_clip hands what stands there on to transformers.
        if "trust_remote_code" in (folder / "open_clip_config.json").read_text():
            raise InputError(
                f"{told}, which wants to run code of its own; expected a model without trust_remote_code"
            )
        taken = next((name for name in WEIGHTS if (folder / name).is_file()), "no file")
        if not taken.endswith(".safetensors"):
            raise InputError(
                f"{told}, with {taken} as weights; expected {', '.join(n for n in WEIGHTS if n.endswith('.safetensors'))}"
            )
        try:
            model: Any = open_clip.create_model(f"local-dir:{folder}", device=where)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{told}, which cannot be loaded ({str(error).strip().partition(chr(10))[0]}); expected a model of "
                "open_clip's with its weights and its tokenizer"
            ) from None
        about = model.visual.preprocess_cfg
        height, width = (about["size"],) * 2 if isinstance(about["size"], int) else about["size"]
        # "random" holds for training only.
        if (
            height != width
            or about["interpolation"] not in ("bicubic", "random")
            or about["resize_mode"] not in ("shortest", "squash")
        ):
            raise InputError(
                f"{told}, which sees {height} x {width} pixels, {about['interpolation']}, {about['resize_mode']}; allowed "
                "are squares, bicubic, shortest or squash"
            )
        return cls(
            model.float().eval().requires_grad_(False),
            tokenizer,
            height,
            tuple(about["mean"]),
            tuple(about["std"]),
            about["resize_mode"] == "squash",
        )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def encode_images(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Unit embeddings of pictures in [0, 1]."""
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        parts = []
        for part in pictures.split(ROWS):
            part = part.to(self.device).float()
            if self.squash:
                part = interpolate(
                    part, (self.size, self.size), mode="bicubic", antialias=True
                ).clamp(0, 1)
            parts.append(
                self.model.encode_image((fit_picture(part, self.size, self.size) - mean) / std)
            )
        return normalize(torch.cat(parts), dim=-1)

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit embeddings of prompts."""
        return normalize(
            self.model.encode_text(self.tokenizer(list(prompts)).to(self.device)), dim=-1
        )

    def classify(
        self, pictures: Float[Tensor, "n 3 h w"], prompts: Sequence[str]
    ) -> Int[Tensor, " n"]:
        """For each picture the number of the prompt that it is most like."""
        return (self.encode_images(pictures) @ self.encode_text(prompts).T).argmax(1)

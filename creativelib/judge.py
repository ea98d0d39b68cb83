"""The judge: a second CLIP that nothing is optimised against. An optimised embedding fools the CLIP it was optimised on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from .errors import InputError
from .loading import usable_device
from .pictures import fit_picture
from .zoo import MODELS, verify

ROWS = 128  # pictures embedded at once


@dataclass(frozen=True, eq=False)
class Judge:
    """A CLIP of open_clip's classes with its tokenizer. `size`, `mean` and `std` are those of its preprocessing."""

    model: Any
    tokenizer: Any
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def load(cls, name_or_path: str | Path = "menagerie", device: str | torch.device = "cpu") -> "Judge":
        """The bundled judge by name, or a folder that open_clip's `local-dir:` reads.

        Raises InputError for an unknown device, damaged bundled files, and a folder without open_clip_config.json.
        """
        import open_clip

        bundled = MODELS["menagerie"].folder
        if str(name_or_path) == "menagerie" and bundled is not None:
            verify(bundled)
            name_or_path = bundled / "judge"
        if not (Path(name_or_path) / "open_clip_config.json").is_file():
            raise InputError(f"judge is {str(name_or_path)!r}; allowed are 'menagerie' and a folder with open_clip_config.json and weights")
        model: Any = open_clip.create_model(f"local-dir:{name_or_path}", device=usable_device(device))
        about = model.visual.preprocess_cfg
        size = about["size"] if isinstance(about["size"], int) else about["size"][0]
        return cls(model.float().eval().requires_grad_(False), open_clip.get_tokenizer(f"local-dir:{name_or_path}"), size,
                   tuple(about["mean"]), tuple(about["std"]))

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def encode_images(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Unit embeddings of pictures in [0, 1]."""
        mean, std = (torch.tensor(values, device=self.device)[:, None, None] for values in (self.mean, self.std))
        parts = [self.model.encode_image((fit_picture(part.to(self.device).float(), self.size, self.size) - mean) / std)
                 for part in pictures.split(ROWS)]
        return normalize(torch.cat(parts), dim=-1)

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit embeddings of prompts."""
        return normalize(self.model.encode_text(self.tokenizer(list(prompts)).to(self.device)), dim=-1)

    def classify(self, pictures: Float[Tensor, "n 3 h w"], prompts: Sequence[str]) -> Int[Tensor, " n"]:
        """For each picture the number of the prompt that it is most like."""
        return (self.encode_images(pictures) @ self.encode_text(prompts).T).argmax(1)

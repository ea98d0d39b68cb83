"""Frozen encoders that turn a picture into one token per patch: CLIP's and DINOv2's."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError, shown
from ..models.folders import lacking, read_config, read_part
from ..models.hub import snapshot
from ..models.location import bundled, check_stack
from ..models.networks import describe_weights, hide_progress_bars, load_frozen, usable_device
from ..models.parts import ENCODER
from ..pictures import Preprocess, check_pictures
from ..sharing import gpu_turn

BATCH_PICTURES = 64  # pictures encoded at once
# Parts of a bundled stack that hold an encoder's network and its preprocessing.
ENCODERS = {"clip": ("prior/image_encoder", "prior/image_processor"), "dino": ("dino", "dino")}
# Classes of transformers by the model type in config.json.
CLASSES = {
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "clip": "CLIPVisionModelWithProjection",
    "dinov2": "Dinov2Model",
}


@dataclass(frozen=True, eq=False)
class Encoded:
    """Encoder output for n pictures.

    `tokens` holds the class token, then one token per patch. `pooled` is a unit vector per picture.
    """

    tokens: Float[Tensor, "n l d"]
    pooled: Float[Tensor, "n e"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A vision transformer with its preprocessing."""

    name: str
    model: Any
    preprocess: Preprocess

    def __repr__(self) -> str:
        side = self.preprocess.crop
        return (
            f"Encoder({self.name!r}: {describe_weights(self.model)})\n"
            f"  pictures of {side} x {side}, tokens of {self.width}"
        )

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "clip",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        stack: str = "menagerie",
    ) -> "Encoder":
        """Load an encoder in float32.

        name_or_path: "clip" or "dino" for those of a bundled `stack`; a folder with config.json,
            weights in safetensors and preprocessor_config.json of a CLIP or a DINOv2; or an id on
            the hub such as "facebook/dinov2-small".
        revision: the hub's.

        Raises InputError for an unknown device, name or stack, for another kind of model, for
        damaged bundled files, and as `models.folders.read_part` does.
        """
        import transformers

        check_stack(stack)
        device = usable_device(device)
        name = str(name_or_path)
        if name in ENCODERS:
            root = bundled(stack=stack)
            folder, processor = (root / part for part in ENCODERS[name])
        elif Path(name_or_path).is_dir():
            folder = Path(name_or_path)
            processor = folder
        else:
            folder = snapshot(name, partial(lacking, parts=ENCODER), revision).folder
            processor = folder
        files = (folder / "config.json", processor / "preprocessor_config.json")
        if not all(file.is_file() for file in files):
            raise InputError(
                f"encoder is {name!r}; expected {', '.join(ENCODERS)}, or a folder or an id on the "
                "hub with config.json and preprocessor_config.json"
            )
        kind = read_config(files[0], folder).get("model_type")
        if kind not in list(CLASSES):
            raise InputError(f"encoder {name!r} is a {shown(kind)}; expected {', '.join(CLASSES)}")
        for part, place in zip(ENCODER, (folder, processor), strict=True):
            read_part(place, part)
        with hide_progress_bars():
            model = load_frozen(getattr(transformers, CLASSES[kind]), folder, device)
        return cls(name, model, Preprocess.read(processor))

    def save(self, folder: str | Path) -> None:
        """Write a folder that `load` reads."""
        self.model.save_pretrained(folder)
        self.preprocess.save(folder)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def width(self) -> int:
        return self.model.config.hidden_size

    def encode(self, pictures: Float[Tensor, "n 3 h w"]) -> Encoded:
        """Encode pictures in [0, 1] of any size.

        The tokens are those after the last layer's norm, which CLIP itself applies to the class
        token alone. `pooled` is CLIP's image embedding, or DINOv2's class token. Raises InputError
        for pictures that are not floats in [0, 1].
        """
        check_pictures(pictures)
        parts = [self._encode(part) for part in pictures.split(BATCH_PICTURES)]
        return Encoded(
            torch.cat([part.tokens for part in parts]), torch.cat([part.pooled for part in parts])
        )

    def _encode(self, pictures: Float[Tensor, "n 3 h w"]) -> Encoded:
        with gpu_turn(self.device):
            output = self.model(self.preprocess(pictures.to(self.device).float()))
        tokens = output.last_hidden_state
        if hasattr(output, "image_embeds"):
            return Encoded(
                self.model.vision_model.post_layernorm(tokens),
                normalize(output.image_embeds, dim=-1),
            )
        return Encoded(tokens, normalize(tokens[:, 0], dim=-1))

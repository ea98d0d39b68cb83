"""Frozen encoders that turn a picture into tokens, one for each patch: CLIP's and DINOv2's, through transformers' own classes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError
from ..models.hub import snapshot
from ..models.location import verify
from ..models.names import MODELS
from ..models.networks import hide_progress_bars, load_frozen, usable_device
from ..pictures import Preprocess

ROWS = 64  # pictures encoded at once
# Where the bundled encoders lie below the bundled model's folder: the network, and its preprocessing.
BUNDLED = {"clip": ("prior/image_encoder", "prior/image_processor"), "dino": ("dino", "dino")}
CLASSES = {
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "clip": "CLIPVisionModelWithProjection",
    "dinov2": "Dinov2Model",
}


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an encoder makes of n pictures: `tokens`, the class token first, then one for each patch; `whole`, a unit vector for the picture
    as a whole."""

    tokens: Float[Tensor, "n l d"]
    pooled: Float[Tensor, "n e"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A vision transformer with its preprocessing."""

    name: str
    model: Any
    preprocess: Preprocess

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "clip",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        stack: str = "menagerie",
    ) -> "Encoder":
        """The "clip" or "dino" of a bundled stack, a folder with config.json, weights in safetensors and preprocessor_config.json
        of a CLIP or DINOv2, or an id on the hub such as "facebook/dinov2-small", there at a `revision`. In float32.

        Raises InputError for an unknown device, name or stack, another kind of model, other weights than safetensors, and damaged
        bundled files.
        """
        import transformers

        if stack not in MODELS or MODELS[stack].folder is None:
            bundled = ", ".join(name for name, model in MODELS.items() if model.folder is not None)
            raise InputError(f"stack is {stack!r}; expected {bundled}")
        where = usable_device(device)
        root = MODELS[stack].folder
        if str(name_or_path) in BUNDLED and root is not None:
            verify(root)
            folder, about = (root / part for part in BUNDLED[str(name_or_path)])
        else:
            folder = about = (
                Path(name_or_path)
                if Path(name_or_path).is_dir()
                else snapshot(str(name_or_path), revision).folder
            )
        if (
            not (folder / "config.json").is_file()
            or not (about / "preprocessor_config.json").is_file()
        ):
            raise InputError(
                f"encoder is {str(name_or_path)!r}; expected {', '.join(BUNDLED)}, and a folder and an id on the hub with "
                "config.json and preprocessor_config.json"
            )
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
        if kind not in CLASSES:
            raise InputError(
                f"encoder {str(name_or_path)!r} is a {kind!r}; expected {', '.join(CLASSES)}"
            )
        if not any(folder.glob("model*.safetensors")):
            raise InputError(
                f"encoder {str(name_or_path)!r} has no weights in safetensors; expected a model with them"
            )
        with hide_progress_bars():
            model = load_frozen(getattr(transformers, CLASSES[kind]), folder, where)
        return cls(str(name_or_path), model, Preprocess.read(about))

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def width(self) -> int:
        return self.model.config.hidden_size

    def encode(self, pictures: Float[Tensor, "n 3 h w"]) -> Encoded:
        """Encode pictures in [0, 1] of any size. The tokens are those after the last layer's norm, which CLIP itself applies to the class
        token alone; the whole is CLIP's image embedding, or DINOv2's class token."""
        parts = [self._encode(part) for part in pictures.split(ROWS)]
        return Encoded(
            torch.cat([part.tokens for part in parts]), torch.cat([part.pooled for part in parts])
        )

    def _encode(self, pictures: Float[Tensor, "n 3 h w"]) -> Encoded:
        output = self.model(self.preprocess(pictures.to(self.device).float()))
        if hasattr(output, "image_embeds"):
            return Encoded(
                self.model.vision_model.post_layernorm(output.last_hidden_state),
                normalize(output.image_embeds, dim=-1),
            )
        return Encoded(output.last_hidden_state, normalize(output.last_hidden_state[:, 0], dim=-1))

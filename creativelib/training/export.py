"""Read and write the bundled folders.

Every later model trains on the weights of the earlier ones as they are shipped.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..files import cache_folder, write_json
from ..fitting.precision import fast_precision
from ..models.networks import load_frozen, rows_at_once

MODEL = "menagerie-128"
FOLDER = Path(__file__).parent.parent / "checkpoints" / MODEL
PRIOR = FOLDER / "prior"
DECODER = FOLDER / "decoder"


def note(name: str, facts: dict) -> None:
    """Add a model's training facts to training.json, which the model card quotes."""
    file = FOLDER / "training.json"
    card = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    write_json(file, card | {name: facts}, indent=1)


def ready_file(name: str) -> Path:
    """Return the file whose existence means that a model's weights can be trained on."""
    return cache_folder() / "training" / f"{name}.ready"


def mark_ready(name: str) -> None:
    """Let other stages train on a model's weights."""
    file = ready_file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def wait_for(names: Sequence[str]) -> None:
    """Wait until these models' weights are ready."""
    while not all(ready_file(name).exists() for name in names):
        time.sleep(0.5)


def sums() -> dict[str, str]:
    """Compute the sha256 of every bundled file and write them to sha256.json."""
    files = sorted(f for f in FOLDER.rglob("*") if f.is_file() and f.name != "sha256.json")
    found = {
        f.relative_to(FOLDER).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
    }
    write_json(FOLDER / "sha256.json", found, indent=1)
    return found


def load_clip(device: torch.device | str = "cpu") -> tuple[Any, Any, Any]:
    """Load the text and vision models, frozen and in float32, and the tokenizer."""
    from transformers import (
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionModelWithProjection,
    )

    text = CLIPTextModelWithProjection.from_pretrained(PRIOR / "text_encoder", dtype=torch.float32)
    vision = CLIPVisionModelWithProjection.from_pretrained(
        PRIOR / "image_encoder", dtype=torch.float32
    )
    words = CLIPTokenizer.from_pretrained(PRIOR / "tokenizer")
    return freeze(text, device), freeze(vision, device), words


def load_movq(device: torch.device | str = "cpu") -> Any:
    """Load the autoencoder, frozen and in float32."""
    from diffusers import VQModel

    return load_frozen(VQModel, DECODER / "movq", torch.device(device))


def freeze(model: Any, device: torch.device | str) -> Any:
    """Move a model to a device, ready for inference only."""
    return model.to(device).eval().requires_grad_(False)


def stamp(model: nn.Module) -> str:
    """Compute a short hash of a model's weights."""
    weights = (p.cpu().numpy().tobytes() for p in model.state_dict().values())
    return hashlib.sha256(b"".join(weights)).hexdigest()[:12]


@torch.no_grad()
def embed(vision: Any, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """Compute CLIP's embeddings of pictures in [0, 1], a few at a time."""
    with fast_precision(pictures.device.type):
        parts = pictures.split(rows_at_once(pictures))
        return torch.cat([vision(part * 2 - 1).image_embeds.float() for part in parts])


@torch.no_grad()
def empty_embedding(vision: Any, side: int) -> Float[Tensor, "1 d"]:
    """Compute the embedding that stands for no condition, as Kandinsky 2.2's `get_zero_embed`.

    It is the embedding of a picture whose pixels are all zero after the preprocessing.
    """
    weight = next(vision.parameters())
    return vision(weight.new_zeros(1, 3, side, side)).image_embeds

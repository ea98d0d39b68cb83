"""Models in and out of the bundled folders. Every later model trains on the weights of the earlier ones as they are shipped."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..files import cache_folder
from ..fitting.precision import fast_precision
from ..models.networks import rows_at_once

MODEL = "menagerie-128"
FOLDER = Path(__file__).parent.parent / "checkpoints" / MODEL
PRIOR = FOLDER / "prior"
DECODER = FOLDER / "decoder"


def note(name: str, facts: dict) -> None:
    """Add a model's training facts to training.json, which the model card quotes."""
    file = FOLDER / "training.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    card = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(card | {name: facts}, indent=1) + "\n")


def told(name: str) -> Path:
    """The file that says that a model's weights are there to be learned from."""
    return cache_folder() / "training" / f"{name}.ready"


def tell(name: str) -> None:
    told(name).parent.mkdir(parents=True, exist_ok=True)
    told(name).touch()


def wait(names: Sequence[str]) -> None:
    """Until these models' weights are there."""
    while not all(told(name).exists() for name in names):
        time.sleep(0.5)


def sums() -> dict[str, str]:
    """sha256 of every bundled file, written to sha256.json."""
    files = sorted(f for f in FOLDER.rglob("*") if f.is_file() and f.name != "sha256.json")
    found = {str(f.relative_to(FOLDER)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    (FOLDER / "sha256.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def load_clip(device: torch.device | str = "cpu") -> tuple[Any, Any, Any]:
    """Frozen text and vision models and the tokenizer, in float32."""
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
    return frozen(text, device), frozen(vision, device), words


def load_movq(device: torch.device | str = "cpu") -> Any:
    """The frozen autoencoder in float32."""
    from diffusers import VQModel

    return frozen(VQModel.from_pretrained(DECODER / "movq", dtype=torch.float32), device)


def frozen(model: Any, device: torch.device | str) -> Any:
    return model.to(device).eval().requires_grad_(False)


def stamp(model: nn.Module) -> str:
    """A short hash of a model's weights."""
    weights = (p.cpu().numpy().tobytes() for p in model.state_dict().values())
    return hashlib.sha256(b"".join(weights)).hexdigest()[:12]


@torch.no_grad()
def embed(vision: Any, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """CLIP's embeddings of pictures in [0, 1], a few at a time."""
    with fast_precision(pictures.device.type):
        return torch.cat(
            [
                vision(part * 2 - 1).image_embeds.float()
                for part in pictures.split(rows_at_once(pictures))
            ]
        )


@torch.no_grad()
def empty_embedding(vision: Any, side: int) -> Float[Tensor, "1 d"]:
    """The embedding that stands for no condition: what Kandinsky 2.2's `get_zero_embed` computes."""
    weight = next(vision.parameters())
    return vision(weight.new_zeros(1, 3, side, side)).image_embeds

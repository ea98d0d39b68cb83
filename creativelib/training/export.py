"""Models in and out of the bundled folders. Every later model trains on the weights of the earlier ones as they are shipped."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from .data import Set, cache_folder, fast_precision

FOLDER = Path(__file__).parent.parent / "checkpoints" / "menagerie"
PRIOR, DECODER = FOLDER / "prior", FOLDER / "decoder"


def save_half(model: Any, folder: Path) -> None:
    """Write a `from_pretrained` folder in float16 and leave the model itself in float16."""
    model.half().save_pretrained(folder)


def note(name: str, facts: dict) -> None:
    """Add a model's training facts to training.json, which the model card quotes."""
    file = FOLDER / "training.json"
    card = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(card | {name: facts}, indent=1) + "\n")


def sums() -> dict[str, str]:
    """sha256 of every bundled file, written to sha256.json."""
    files = sorted(f for f in FOLDER.rglob("*") if f.is_file() and f.name != "sha256.json")
    found = {str(f.relative_to(FOLDER)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    (FOLDER / "sha256.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def load_clip() -> tuple[Any, Any, Any]:
    """Frozen text and vision models and the tokenizer, in float32."""
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

    text = CLIPTextModelWithProjection.from_pretrained(PRIOR / "text_encoder", dtype=torch.float32)
    vision = CLIPVisionModelWithProjection.from_pretrained(PRIOR / "image_encoder", dtype=torch.float32)
    return text.eval().requires_grad_(False), vision.eval().requires_grad_(False), CLIPTokenizer.from_pretrained(PRIOR / "tokenizer")


def load_movq() -> Any:
    """The frozen autoencoder in float32."""
    from diffusers import VQModel

    return VQModel.from_pretrained(DECODER / "movq", dtype=torch.float32).eval().requires_grad_(False)


def stamp(model: nn.Module) -> str:
    """A short hash of a model's weights."""
    return hashlib.sha256(b"".join(p.numpy().tobytes() for p in model.state_dict().values())).hexdigest()[:12]


def _stored(name: str, model: nn.Module, compute) -> Tensor:
    """A tensor kept on disk under the weights it was computed with."""
    file = cache_folder() / "data" / f"{name}-{stamp(model)}.safetensors"
    if not file.exists():
        save_file({"x": compute()}, file)
    return load_file(file)["x"]


def _chunks(pictures: Set, name: str, size: int = 32):
    """Few pictures at a time fit a processor's cache: twice as fast as many."""
    for start in tqdm(range(0, len(pictures), size), desc=name, mininterval=5):
        yield pictures.batch(torch.arange(start, min(start + size, len(pictures)))) * 2 - 1


@torch.no_grad()
def embeddings(pictures: Set) -> Float[Tensor, "n d"]:
    """CLIP embeddings of all pictures of the training set."""
    vision = load_clip()[1]

    def compute() -> Tensor:
        with fast_precision():
            return torch.cat([vision(x).image_embeds.float() for x in _chunks(pictures, "embedding")])

    return _stored(f"embeddings-{pictures.name}", vision, compute)


@torch.no_grad()
def latents(pictures: Set) -> Float[Tensor, "n c 16 16"]:
    """Latents of all pictures of the training set, in float16. They depend on the encoder half of the autoencoder alone."""
    movq = load_movq().to(memory_format=torch.channels_last)

    def compute() -> Tensor:
        with fast_precision():
            parts = [movq.encode(x).latents.half() for x in _chunks(pictures, "encoding")]
        return torch.cat(parts)

    return _stored(f"latents-{pictures.name}", nn.ModuleList([movq.encoder, movq.quant_conv]), compute)


@torch.no_grad()
def empty_embedding() -> Float[Tensor, "1 d"]:
    """The embedding that stands for no condition: what Kandinsky 2.2's `get_zero_embed` computes."""
    return load_clip()[1](torch.zeros(1, 3, 64, 64)).image_embeds


"""The judge: a second CLIP, of open_clip's classes, that nothing is optimised against.

Its pictures are of a set of its own, its picture encoder is a residual network where the first CLIP has a transformer, and it is trained
with the contrastive loss alone: no factor labels.
"""

import json
import random
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..world.scenes import caption
from . import data, export, tokenizer
from .clip import POSITIONS, contrastive
from .loop import Recipe, train
from .oracle import settle_statistics

RECIPE = Recipe("judge", steps=3600, batch=128, lr=1.5e-3, warmup=150, weight_decay=0.05, average=0.995, seed=21, muon=2e-3)
FOLDER = export.FOLDER / "judge"
DIM = 64


def model_config(words: Any) -> dict:
    """open_clip's model configuration. Padding is the end token, the largest id, and the first of them is pooled ("argmax")."""
    return {
        "embed_dim": DIM,
        "vision_cfg": {"layers": [2, 2, 2, 1], "width": 12, "head_width": 24, "image_size": 64},
        "text_cfg": {"context_length": POSITIONS, "vocab_size": len(words), "width": 96, "heads": 4, "layers": 2,
                     "hf_tokenizer_name": "judge", "tokenizer_kwargs": {"model_max_length": POSITIONS}},
    }


def main() -> dict:
    from open_clip.model import CLIP

    torch.manual_seed(RECIPE.seed)
    words, pictures = tokenizer.build(), data.load("judge", 120_000, seed=5)
    config = model_config(words)
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"] | {"hf_tokenizer_name": None, "tokenizer_kwargs": None})

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (RECIPE.batch,), generator=generator)
        texts = caption(pictures.scenes[rows], random.Random(10_000_000 + step), data.WILD)
        ids = words(texts, padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt").input_ids
        same = torch.tensor([[a == b for b in texts] for a in texts])
        x = pictures.batch(rows)
        return {"loss": contrastive(model.encode_image(x), model.encode_text(ids), model.logit_scale.clamp(max=4.6).exp(), same)}

    facts = train(model, loss, RECIPE)
    settle_statistics(model.visual, pictures)
    FOLDER.mkdir(parents=True, exist_ok=True)
    weights = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file(weights, FOLDER / "open_clip_model.safetensors")
    preprocess = {"size": 64, "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (FOLDER / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1) + "\n")
    words.save_pretrained(FOLDER)
    export.note("judge", facts)
    export.sums()
    return facts

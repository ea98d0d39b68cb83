"""The judge: a second CLIP, of open_clip's classes, that nothing is optimized against.

Its pictures come from a source of its own and are half as large as the first CLIP's. Its picture
encoder is a residual network, whereas the first CLIP has a transformer. It is trained with the
contrastive loss alone, without labels of factors.
"""

import json
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..fitting.loop import Recipe, Run, train
from ..pictures import as_picture, in_bytes
from ..seeds import seeded
from ..world.scenes import Scenes
from . import data, export, stream, tokenizer
from .clip import LARGEST_SCALE, contrastive, same_caption
from .oracle import settle_statistics
from .stream import POSITIONS, Pool, Source, one_caption

RECIPE = Recipe(
    "judge",
    steps=3600,
    batch=128,
    lr=1.5e-3,
    warmup=150,
    weight_decay=0.05,
    average=0.995,
    seed=21,
    muon=2e-3,
)
FOLDER = export.FOLDER / "judge"
SOURCE = Source("judge", wild=data.WILD, seed=5)
SIDE = 64  # of the judge's pictures, in pixels
DIM = 64  # of the joint space
SETTLED = 60  # batches from which batch norm's statistics are measured


def model_config(words: Any) -> dict:
    """Return open_clip's model configuration.

    Padding is the end token, which has the largest id; open_clip pools at the first of them
    ("argmax").
    """
    return {
        "embed_dim": DIM,
        "vision_cfg": {"layers": [2, 2, 2, 1], "width": 12, "head_width": 24, "image_size": SIDE},
        "text_cfg": {
            "context_length": POSITIONS,
            "vocab_size": len(words),
            "width": 96,
            "heads": 4,
            "layers": 2,
            "hf_tokenizer_name": "judge",
            "tokenizer_kwargs": {"model_max_length": POSITIONS},
        },
    }


def prepare(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    """Return the pictures shrunk to SIDE, in bytes, and the captions' tokens."""
    return {"pixels": in_bytes(avg_pool2d(pictures, stream.SIDE // SIDE)), "ids": ids.short()}


def main(run: Run) -> dict:
    """Train the judge and write an open_clip folder."""
    from open_clip.model import CLIP

    torch.manual_seed(RECIPE.seed)
    device = run.device
    words = tokenizer.build()
    config = model_config(words)
    text = config["text_cfg"] | {"hf_tokenizer_name": None, "tokenizer_kwargs": None}
    model = CLIP(config["embed_dim"], config["vision_cfg"], text).to(device)
    pool = Pool(prepare, device, batch=RECIPE.batch, source=SOURCE)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        ids = one_caption(lesson.inputs["ids"], generator)
        image = model.encode_image(as_picture(lesson.inputs["pixels"]))
        scale = model.logit_scale.clamp(max=LARGEST_SCALE).exp()
        text = model.encode_text(ids)
        value = contrastive(image=image, text=text, scale=scale, same=same_caption(ids))
        return {"loss": value}

    facts = train(model, loss, RECIPE, minutes=run.minutes)
    generator = seeded(0, device)
    batches = [pool.draw(facts["steps"], generator).inputs["pixels"] for _ in range(SETTLED)]
    settle_statistics(model.visual, [as_picture(pixels) for pixels in batches])
    FOLDER.mkdir(parents=True, exist_ok=True)
    weights = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in model.state_dict().items()
    }
    save_file(weights, FOLDER / "open_clip_model.safetensors")
    preprocess = {
        "size": SIDE,
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    card = {"model_cfg": config, "preprocess_cfg": preprocess}
    (FOLDER / "open_clip_config.json").write_text(
        json.dumps(card, indent=1) + "\n", encoding="utf-8", newline="\n"
    )
    words.save_pretrained(FOLDER)
    export.note("judge", facts)
    export.sums()
    return facts

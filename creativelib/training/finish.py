"""The last step: make both folders diffusers pipelines and write the sha256 of every file."""

import json

from ..fitting.loop import Run
from . import export

# By folder, the pipeline's class and the classes of its parts.
INDEX = {
    export.PRIOR: {
        "_class_name": "KandinskyV22PriorPipeline",
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "image_processor": ["transformers", "CLIPImageProcessor"],
        "prior": ["diffusers", "PriorTransformer"],
        "scheduler": ["diffusers", "UnCLIPScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    },
    export.DECODER: {
        "_class_name": "KandinskyV22Pipeline",
        "movq": ["diffusers", "VQModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
    },
}


def main(run: Run) -> dict:
    """Write the pipelines' indices and the checksums."""
    for folder, index in INDEX.items():
        (folder / "model_index.json").write_text(
            json.dumps(index, indent=2) + "\n", encoding="utf-8", newline="\n"
        )
    return {"files": len(export.sums())}

"""Which models there are: a name becomes checked files on disk, or an error that says what is missing."""

from dataclasses import dataclass
from pathlib import Path

PARTS = ("prior", "decoder")
# Where each pipeline class of diffusers keeps what a part is made of.
PRIORS = {
    "KandinskyV22PriorPipeline": (
        "tokenizer",
        "text_encoder",
        "image_encoder",
        "image_processor",
        "prior",
        "scheduler",
    ),
    "KandinskyPriorPipeline": (
        "tokenizer",
        "text_encoder",
        "image_encoder",
        "image_processor",
        "prior",
        "scheduler",
    ),
    "UnCLIPPipeline": ("tokenizer", "text_encoder", "prior", "prior_scheduler"),
}
DECODERS = {
    "KandinskyV22Pipeline": ("unet", "movq", "scheduler"),
    "KandinskyPipeline": ("tokenizer", "text_encoder", "unet", "movq", "scheduler"),
    "UnCLIPPipeline": (
        "decoder",
        "text_proj",
        "super_res_first",
        "super_res_last",
        "decoder_scheduler",
        "super_res_scheduler",
    ),
}
# Karlo's repository has no image encoder. It was trained with OpenAI's ViT-L/14, which diffusers takes for it as well
# (scripts/convert_unclip_txt2img_to_image_variation.py).
VIT_L = "openai/clip-vit-large-patch14"
VIT_L_SIZE = 1.7


@dataclass(frozen=True)
class Model:
    """What is known about a model before it is loaded. `folder` is set when its files ship with the package, `hub` names the repositories
    of its prior and its decoder, which are pipelines of the classes `kinds`; `sizes` are what these are to download, in GB. `memory` is the
    GB of a GPU that it takes in half precision, four pictures at once (benchmarks/unclip/memory.py), 0 where a CPU is enough."""

    name: str
    about: str
    licence: str
    memory: float = 0.0
    sizes: tuple[float, float] = (0.0, 0.0)
    folder: Path | None = None
    hub: tuple[str, str] = ("", "")
    pipeline_classes: tuple[str, str] = ("KandinskyV22PriorPipeline", "KandinskyV22Pipeline")

    @property
    def download(self) -> float:
        """All of it, in GB."""
        return sum(self.sizes)

    @property
    def terms(self) -> str:
        """What a reader has to know before the download."""
        return (
            f"{self.about}: about {self.download:.0f} GB to download, from {' and '.join(dict.fromkeys(self.hub))}. "
            f"Licence: {self.licence}. It needs a GPU with about {self.memory:.0f} GB, in half precision."
        )


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "menagerie",
            "a tiny unCLIP stack trained on the Menagerie, whose true probabilities are known",
            "Apache-2.0",
            folder=Path(__file__).parent.parent / "checkpoints" / "menagerie",
        ),
        Model(
            "kandinsky-2-1",
            "Kandinsky 2.1",
            "Apache-2.0",
            9.0,
            (5.8, 7.4),
            hub=("kandinsky-community/kandinsky-2-1-prior", "kandinsky-community/kandinsky-2-1"),
            pipeline_classes=("KandinskyPriorPipeline", "KandinskyPipeline"),
        ),
        Model(
            "kandinsky-2-2",
            "Kandinsky 2.2",
            "Apache-2.0",
            13.0,
            (10.6, 5.3),
            hub=(
                "kandinsky-community/kandinsky-2-2-prior",
                "kandinsky-community/kandinsky-2-2-decoder",
            ),
        ),
        Model(
            "karlo",
            "Karlo v1 alpha",
            "CreativeML Open RAIL-M, which restricts what it may be used for",
            11.0,
            (13.8, VIT_L_SIZE),  # one repository for both, and another for the image encoder
            hub=("kakaobrain/karlo-v1-alpha", "kakaobrain/karlo-v1-alpha"),
            pipeline_classes=("UnCLIPPipeline", "UnCLIPPipeline"),
        ),
        Model(
            "menagerie-128",
            "the same in 128 x 128 pixels, drawn more finely; the chapters' numbers are the smaller one's",
            "Apache-2.0",
            folder=Path(__file__).parent.parent / "checkpoints" / "menagerie-128",
        ),
    )
}

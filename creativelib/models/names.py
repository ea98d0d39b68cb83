"""The models that are known by name: where their files are, and what they need to run."""

from dataclasses import dataclass
from pathlib import Path

PARTS = ("prior", "decoder")
# Karlo's repository has no image encoder. Karlo was trained with OpenAI's ViT-L/14, which diffusers
# uses for it as well (scripts/convert_unclip_txt2img_to_image_variation.py).
VIT_L = "openai/clip-vit-large-patch14"
VIT_L_SIZE = 1.7  # GB


@dataclass(frozen=True)
class Model:
    """The facts about a model that are known before it is loaded."""

    name: str
    # One phrase that describes the model.
    about: str
    license: str
    # GB of GPU memory in half precision, with four pictures at once (benchmarks/unclip/memory.py);
    # 0 if a CPU is enough.
    memory: float = 0.0
    # GB to download for the prior and for the decoder.
    sizes: tuple[float, float] = (0.0, 0.0)
    # The model's folder, if its files ship with the package.
    folder: Path | None = None
    # Repositories of the prior and of the decoder, if the files are on the Hugging Face hub.
    hub: tuple[str, str] = ("", "")
    # Pipeline classes of diffusers that saved the prior and the decoder.
    pipeline_classes: tuple[str, str] = ("KandinskyV22PriorPipeline", "KandinskyV22Pipeline")

    @property
    def download(self) -> float:
        """Size of the whole download, in GB."""
        return sum(self.sizes)

    @property
    def terms(self) -> str:
        """Size, source, license and needed memory, for the reader to see before the download."""
        repositories = " and ".join(dict.fromkeys(self.hub))
        return (
            f"{self.about}: about {self.download:.0f} GB to download, from {repositories}. "
            f"Licence: {self.license}. It needs a GPU with about {self.memory:.0f} GB, in half "
            "precision."
        )


CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="menagerie",
            about=(
                "a tiny unCLIP stack trained on the Menagerie, whose true probabilities are known"
            ),
            license="Apache-2.0",
            folder=CHECKPOINTS / "menagerie",
        ),
        Model(
            name="kandinsky-2-1",
            about="Kandinsky 2.1",
            license="Apache-2.0",
            memory=9.0,
            sizes=(5.8, 7.4),
            hub=("kandinsky-community/kandinsky-2-1-prior", "kandinsky-community/kandinsky-2-1"),
            pipeline_classes=("KandinskyPriorPipeline", "KandinskyPipeline"),
        ),
        Model(
            name="kandinsky-2-2",
            about="Kandinsky 2.2",
            license="Apache-2.0",
            memory=13.0,
            sizes=(10.6, 5.3),
            hub=(
                "kandinsky-community/kandinsky-2-2-prior",
                "kandinsky-community/kandinsky-2-2-decoder",
            ),
        ),
        Model(
            name="karlo",
            about="Karlo v1 alpha",
            license="CreativeML Open RAIL-M, which restricts what it may be used for",
            memory=11.0,
            # One repository holds both parts; the image encoder comes from another one.
            sizes=(13.8, VIT_L_SIZE),
            hub=("kakaobrain/karlo-v1-alpha", "kakaobrain/karlo-v1-alpha"),
            pipeline_classes=("UnCLIPPipeline", "UnCLIPPipeline"),
        ),
        Model(
            name="menagerie-128",
            about=(
                "the same in 128 x 128 pixels, drawn more finely; the chapters' numbers are the "
                "smaller one's"
            ),
            license="Apache-2.0",
            folder=CHECKPOINTS / "menagerie-128",
        ),
    )
}
# The models whose files ship with the package.
BUNDLED_STACKS = tuple(name for name, model in MODELS.items() if model.folder is not None)

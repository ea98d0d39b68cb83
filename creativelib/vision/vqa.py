"""Ask a BLIP, BLIP-2 or SmolVLM model, or a CLIP with a list of words, about pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..english import article, check_template, clean_text, fill
from ..errors import InputError, listed, nearest
from ..models.folders import lacking, read_config, read_part
from ..models.hub import snapshot
from ..models.location import bundled
from ..models.networks import (
    check_vocabulary,
    default_dtype,
    describe_weights,
    hide_progress_bars,
    load_frozen,
    usable_device,
)
from ..models.parts import VQA
from ..pictures import check_pictures
from ..reading import refusing
from ..sharing import gpu_turn, normal_tensors
from ..unclip.pipeline import Pipeline

BATCH_PICTURES = 64  # pictures asked about at once
# A processor's tokenizer remembers how it was called last, so threads call it one at a time.
_processing = Lock()
STYLE_QUESTION = "what style is this picture?"


def what_kind(category: str) -> str:
    """Return ConceptLab's question for what a picture of a category shows (arXiv 2308.02669)."""
    return f"what kind of {category} is in this photo?"


def is_a(category: str) -> str:
    """Return the question whether a picture shows a category; its answers are yes and no."""
    return f"is this {article(category)}?"


def what_color(category: str) -> str:
    """Return the question for the color of a category's member."""
    return f"what color is the {category}?"


@runtime_checkable
class Vqa(Protocol):
    """A model that answers questions about pictures in [0, 1]."""

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Give one short answer in lower case for each picture.

        Raises InputError for pictures that are not floats in [0, 1].
        """
        ...


@dataclass(frozen=True, eq=False)
class BlipVqa:
    """A `BlipForQuestionAnswering` with its processor (Li et al., arXiv 2201.12086)."""

    model: Any
    processor: Any

    def __repr__(self) -> str:
        return _describe(self)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "menagerie",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> "BlipVqa":
        """Load a BLIP.

        name_or_path: "menagerie" for the bundled one, a folder, or an id on the hub such as
            "Salesforce/blip-vqa-base".
        dtype: by default float32 on a CPU and float16 elsewhere.
        revision: the hub's.

        Raises InputError for an unknown device, for damaged bundled files, and if there is no
        BlipForQuestionAnswering in safetensors.
        """
        from transformers import BlipForQuestionAnswering, BlipProcessor

        if str(name_or_path) == "menagerie":
            name_or_path = bundled("vqa")
        device = usable_device(device)
        dtype = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
        model, processor = _load(
            model_class=BlipForQuestionAnswering,
            processor_class=BlipProcessor,
            name_or_path=name_or_path,
            revision=revision,
            device=device,
            dtype=dtype,
        )
        return cls(model, processor)

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Give one short answer for each picture.

        Raises InputError for an empty question and for pictures that are not floats in [0, 1].
        """
        check_pictures(pictures)
        clean_text("question", question)
        with _processing:
            tokens = self.processor.tokenizer(question, return_tensors="pt")
        ids = tokens.input_ids.to(self.model.device)
        answers = []
        for part in pictures.detach().split(BATCH_PICTURES):
            pixels = self.processor.image_processor(
                images=list(part.float().cpu()), do_rescale=False, return_tensors="pt"
            ).pixel_values
            with gpu_turn(self.model.device):
                out = self.model.generate(
                    ids.expand(len(part), -1),
                    pixels.to(self.model.device, self.model.dtype),
                    max_new_tokens=8,
                )
            answers += self.processor.tokenizer.batch_decode(out, skip_special_tokens=True)
        return [answer.strip().lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class Blip2Vqa:
    """A `Blip2ForConditionalGeneration` with its processor (Li et al., arXiv 2301.12597).

    ConceptLab uses it; the model has 4 billion weights.
    """

    model: Any
    processor: Any

    def __post_init__(self) -> None:
        """Have the processor leave the picture its place in the prompt.

        Without that place the model would answer, and never see the picture. Raises InputError if
        the two mark the place by different tokens.
        """
        config = self.model.config
        place = self.processor.tokenizer.convert_tokens_to_ids(str(self.processor.image_token))
        if place != config.image_token_index:
            raise InputError(
                f"processor marks a picture's place with token {place}; expected the model's, "
                f"{config.image_token_index}, without which it never sees the picture"
            )
        self.processor.num_query_tokens = config.num_query_tokens

    def __repr__(self) -> str:
        return _describe(self)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "Salesforce/blip2-flan-t5-xl",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> "Blip2Vqa":
        """Load a BLIP-2 from a folder or from the hub, there at a `revision`.

        `dtype` is by default that of `models.networks.default_dtype`. Raises InputError for an
        unknown device, if there is no Blip2ForConditionalGeneration in safetensors, and if its
        processor marks pictures by another token.
        """
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        device = usable_device(device)
        model, processor = _load(
            model_class=Blip2ForConditionalGeneration,
            processor_class=Blip2Processor,
            name_or_path=name_or_path,
            revision=revision,
            device=device,
            dtype=dtype or default_dtype(device),
        )
        return cls(model, processor)

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Give one short answer for each picture.

        The prompt has the form that the model was trained with. Raises InputError for an empty
        question and for pictures that are not floats in [0, 1].
        """
        check_pictures(pictures)
        clean_text("question", question)
        prompt = f"Question: {question} Answer:"
        answers = []
        for part in pictures.detach().float().cpu().split(BATCH_PICTURES):
            with _processing:
                inputs = self.processor(
                    images=list(part),
                    text=[prompt] * len(part),
                    do_rescale=False,
                    return_tensors="pt",
                )
            with gpu_turn(self.model.device):
                out = self.model.generate(
                    **inputs.to(self.model.device, self.model.dtype), max_new_tokens=8
                )
            # A language model without an encoder repeats the prompt.
            if not self.model.config.text_config.is_encoder_decoder:
                out = out[:, inputs.input_ids.shape[1] :]
            answers += self.processor.tokenizer.batch_decode(out, skip_special_tokens=True)
        return [answer.strip().lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class SmolVlmVqa:
    """A `SmolVLMForConditionalGeneration` with its processor (Marafioti et al., arXiv 2504.05299).

    It is a small chat model.
    """

    model: Any
    processor: Any

    def __repr__(self) -> str:
        return _describe(self)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> "SmolVlmVqa":
        """Load a SmolVLM from a folder or from the hub, there at a `revision`.

        `dtype` is by default that of `models.networks.default_dtype`. Raises InputError for an
        unknown device, if there is no SmolVLMForConditionalGeneration in safetensors, and without
        the package num2words, which its processor needs.
        """
        from transformers import SmolVLMForConditionalGeneration, SmolVLMProcessor

        device = usable_device(device)
        model, processor = _load(
            model_class=SmolVLMForConditionalGeneration,
            processor_class=SmolVLMProcessor,
            name_or_path=name_or_path,
            revision=revision,
            device=device,
            dtype=dtype or default_dtype(device),
        )
        return cls(model, processor)

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Give one short answer, without a full stop, for each picture.

        Raises InputError for an empty question and for pictures that are not floats in [0, 1].
        """
        check_pictures(pictures)
        clean_text("question", question)
        content = [
            {"type": "image"},
            {"type": "text", "text": f"{question} Answer with one or two words."},
        ]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        # By default every picture, however small, is enlarged to 2048 pixels and read as 16 tiles
        # of 512 pixels and one of the whole. Tiles are for small print on large pages; these
        # questions need the whole alone.
        one_tile = {
            "do_image_splitting": False,
            "size": self.processor.image_processor.max_image_size,
        }
        # The model takes a tile of zeros for padding and leaves it out. Gray of exactly 0.5 becomes
        # zeros, and no 8-bit value is that gray.
        pixels = (pictures.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        answers = []
        for part in pixels.split(BATCH_PICTURES):
            with _processing:
                inputs = self.processor(
                    images=[[picture] for picture in part],
                    text=[prompt] * len(part),
                    return_tensors="pt",
                    **one_tile,
                )
            with gpu_turn(self.model.device):
                out = self.model.generate(
                    **inputs.to(self.model.device, self.model.dtype),
                    max_new_tokens=8,
                    do_sample=False,
                )
            answers += self.processor.tokenizer.batch_decode(
                out[:, inputs.input_ids.shape[1] :], skip_special_tokens=True
            )
        return [answer.strip().removesuffix(".").lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class ZeroShotVqa:
    """A CLIP in place of a VQA model: it answers with the word whose prompt is nearest the picture.

    It also answers yes or no to "is this a {word}?".
    """

    pipe: Pipeline
    # The possible answers, at least two.
    words: Sequence[str]
    # The prompt around a word.
    template: str = "a photo of a {}"

    def __repr__(self) -> str:
        encoder = self.pipe.image_encoder
        side = self.pipe.preprocess.crop
        return (
            f"ZeroShotVqa({self.pipe.name!r}: {describe_weights(encoder)})\n"
            f"  pictures of {side} x {side}, {len(self.words)} words"
        )

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Answer with one of the words, or with yes or no, for each picture.

        Raises InputError if there are fewer than two words, for "is this a ...?" with another word,
        and for pictures that are not floats in [0, 1].
        """
        if len(listed("words", self.words)) < 2:
            raise InputError(f"words is {list(self.words)}; expected at least two to choose from")
        check_template(self.template)
        prompts = [fill(self.template, word) for word in self.words]
        text = normalize(self.pipe.encode_text(prompts).pooled.float(), dim=-1)
        images = normalize(self.pipe.encode_images(pictures), dim=-1)
        closest = (images @ text.T).argmax(-1).tolist()
        found = [str(self.words[i]) for i in closest]
        if not question.lower().startswith("is this "):
            return found
        word = question.lower().removeprefix("is this ").rstrip("? ")
        word = word.removeprefix("an ").removeprefix("a ")
        if word not in self.words:
            raise InputError(
                f"question is {question!r}, which asks for none of the words; expected "
                f"{', '.join(self.words)}{nearest(word, self.words)}"
            )
        return ["yes" if each == word else "no" for each in found]


def _describe(vqa: BlipVqa | Blip2Vqa | SmolVlmVqa) -> str:
    side = vqa.model.config.vision_config.image_size
    return f"{type(vqa).__name__}({describe_weights(vqa.model)})\n  pictures of {side} x {side}"


@normal_tensors()
def _load(
    model_class: Any,
    processor_class: Any,
    name_or_path: str | Path,
    revision: str | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Any, Any]:
    """Load a frozen model and its processor from a folder, or else from the hub.

    Raises InputError if there is none of this class, and as `models.folders.read_part` does.
    """
    if Path(name_or_path).is_dir():
        folder = Path(name_or_path)
    else:
        folder = snapshot(str(name_or_path), partial(lacking, parts=VQA), revision).folder
    name = model_class.__name__
    config = folder / "config.json"
    classes = read_config(config, folder).get("architectures") if config.is_file() else []
    # transformers would load another class's files as well, and fill gaps with random numbers.
    if not isinstance(classes, list) or name not in classes:
        raise InputError(
            f"vqa is {str(name_or_path)!r}, which holds no {name}; expected a folder or an id on "
            "the hub with one"
        )
    for part in VQA:
        read_part(folder, part)
    with hide_progress_bars():
        with refusing(f"processor {str(folder)!r}"):
            processor = processor_class.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            known = len(processor.tokenizer)
        model = load_frozen(model_class, folder, device, dtype)
    check_vocabulary(folder, known, least=model.config.text_config.vocab_size // 2)
    return model, processor

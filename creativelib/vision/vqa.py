"""Questions about pictures, and who can answer them: a BLIP, BLIP-2 or SmolVLM model, or any CLIP over a list of words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..english import article
from ..errors import InputError
from ..models.hub import snapshot
from ..models.location import verify
from ..models.names import MODELS
from ..models.networks import default_dtype, hide_progress_bars, usable_device
from ..unclip.pipeline import Pipeline

ROWS = 64  # pictures asked about at once
STYLE_QUESTION = "what style is this picture?"


def what_kind(category: str) -> str:
    """ConceptLab's question (arXiv 2308.02669), which names what a picture of the category shows."""
    return f"what kind of {category} is in this photo?"


def is_a(category: str) -> str:
    return f"is this {article(category)}?"


def what_color(category: str) -> str:
    return f"what color is the {category}?"


@runtime_checkable
class Vqa(Protocol):
    """Whoever answers questions about pictures in [0, 1]."""

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """One short answer in lower case for each picture."""
        ...


@dataclass(frozen=True, eq=False)
class BlipVqa:
    """A `BlipForQuestionAnswering` with its processor (Li et al., arXiv 2201.12086)."""

    model: Any
    processor: Any

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "menagerie",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> "BlipVqa":
        """The bundled model by name, a folder, or an id on the hub such as "Salesforce/blip-vqa-base", there at a `revision`.

        In float32 on a CPU and in float16 elsewhere unless told otherwise. Raises InputError for an unknown device, damaged bundled
        files, and where no BlipForQuestionAnswering in safetensors is found.
        """
        from transformers import BlipForQuestionAnswering, BlipProcessor

        bundled = MODELS["menagerie"].folder
        if str(name_or_path) == "menagerie" and bundled is not None:
            verify(bundled)
            name_or_path = bundled / "vqa"
        where = usable_device(device)
        dtype = dtype or (torch.float32 if where.type == "cpu" else torch.float16)
        return cls(
            *_read(BlipForQuestionAnswering, BlipProcessor, name_or_path, revision, where, dtype)
        )

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """One short answer for each picture. Raises InputError for an empty question."""
        ids = self.processor.tokenizer(_asked(question), return_tensors="pt").input_ids.to(
            self.model.device
        )
        answers = []
        for part in pictures.detach().split(ROWS):
            pixels = self.processor.image_processor(
                images=list(part.float().cpu()), do_rescale=False, return_tensors="pt"
            ).pixel_values
            out = self.model.generate(
                ids.expand(len(part), -1),
                pixels.to(self.model.device, self.model.dtype),
                max_new_tokens=8,
            )
            answers += self.processor.tokenizer.batch_decode(out, skip_special_tokens=True)
        return [answer.strip().lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class Blip2Vqa:
    """A `Blip2ForConditionalGeneration` with its processor (Li et al., arXiv 2301.12597): ConceptLab's own choice, of 4 billion weights."""

    model: Any
    processor: Any

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "Salesforce/blip2-flan-t5-xl",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> "Blip2Vqa":
        """A folder, or an id on the hub, there at a `revision`.

        In `loading.default_dtype` unless told otherwise. Raises InputError for an unknown device, and where no
        Blip2ForConditionalGeneration in safetensors is found.
        """
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        where = usable_device(device)
        return cls(
            *_read(
                Blip2ForConditionalGeneration,
                Blip2Processor,
                name_or_path,
                revision,
                where,
                dtype or default_dtype(where),
            )
        )

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """One short answer for each picture, asked in the form the model was trained with. Raises InputError for an empty question."""
        told = f"Question: {_asked(question)} Answer:"
        answers = []
        for part in pictures.detach().float().cpu().split(ROWS):
            inputs = self.processor(
                images=list(part), text=[told] * len(part), do_rescale=False, return_tensors="pt"
            )
            out = self.model.generate(
                **inputs.to(self.model.device, self.model.dtype), max_new_tokens=8
            )
            # A language model without an encoder repeats what it was told.
            new = (
                out
                if self.model.config.text_config.is_encoder_decoder
                else out[:, inputs.input_ids.shape[1] :]
            )
            answers += self.processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [answer.strip().lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class SmolVlmVqa:
    """A `SmolVLMForConditionalGeneration` with its processor (Marafioti et al., arXiv 2504.05299): a small chat model."""

    model: Any
    processor: Any

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> "SmolVlmVqa":
        """A folder, or an id on the hub, there at a `revision`.

        In `loading.default_dtype` unless told otherwise. Raises InputError for an unknown device, where no
        SmolVLMForConditionalGeneration in safetensors is found, and without the package num2words, which its processor asks for.
        """
        from transformers import SmolVLMForConditionalGeneration, SmolVLMProcessor

        where = usable_device(device)
        return cls(
            *_read(
                SmolVLMForConditionalGeneration,
                SmolVLMProcessor,
                name_or_path,
                revision,
                where,
                dtype or default_dtype(where),
            )
        )

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """One short answer for each picture, without a full stop. Raises InputError for an empty question."""
        content = [
            {"type": "image"},
            {"type": "text", "text": f"{_asked(question)} Answer with one or two words."},
        ]
        told = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        # Otherwise every picture, however small, is enlarged to 2048 pixels and read as 16 tiles of 512 and one of the whole. That is for
        # small print on large pages: what a picture shows is seen in the whole.
        whole = {"do_image_splitting": False, "size": self.processor.image_processor.max_image_size}
        answers = []
        # In 8 bits no picture is of the grey that becomes 0 everywhere, which the model takes for padding and leaves out.
        for part in (
            (pictures.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).split(ROWS)
        ):
            inputs = self.processor(
                images=[[picture] for picture in part],
                text=[told] * len(part),
                return_tensors="pt",
                **whole,
            )
            out = self.model.generate(
                **inputs.to(self.model.device, self.model.dtype), max_new_tokens=8, do_sample=False
            )
            answers += self.processor.tokenizer.batch_decode(
                out[:, inputs.input_ids.shape[1] :], skip_special_tokens=True
            )
        return [answer.strip().removesuffix(".").lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class ZeroShotVqa:
    """CLIP in place of a VQA model: of `words`, the one whose prompt lies nearest the picture. Also answers "is this a {word}?"."""

    pipe: Pipeline
    words: Sequence[str]
    template: str = "a photo of a {}"

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Raises InputError for fewer than two words, and for "is this a ...?" with something that is none of them."""
        if len(self.words) < 2:
            raise InputError(f"words is {list(self.words)}; expected at least two to choose from")
        text = normalize(
            self.pipe.encode_text(
                [self.template.format(word) for word in self.words]
            ).pooled.float(),
            dim=-1,
        )
        nearest = (
            (normalize(self.pipe.encode_images(pictures), dim=-1) @ text.T).argmax(-1).tolist()
        )
        found = [str(self.words[i]) for i in nearest]
        if not question.lower().startswith("is this "):
            return found
        asked = (
            question.lower()
            .removeprefix("is this ")
            .rstrip("? ")
            .removeprefix("an ")
            .removeprefix("a ")
        )
        if asked not in self.words:
            raise InputError(
                f"question is {question!r}, which asks for none of the words; expected {', '.join(self.words)}"
            )
        return ["yes" if word == asked else "no" for word in found]


def _read(
    model_class: Any,
    processor_class: Any,
    name_or_path: str | Path,
    revision: str | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Any, Any]:
    """A frozen model and its processor from a folder, or else from the hub; of weights only safetensors, which hold no code."""
    folder = (
        Path(name_or_path)
        if Path(name_or_path).is_dir()
        else snapshot(str(name_or_path), revision).folder
    )
    name = model_class.__name__
    file = folder / "config.json"
    # transformers would load another class's files as well, and fill what they lack with random numbers.
    if not file.is_file() or name not in (json.loads(file.read_text()).get("architectures") or []):
        raise InputError(
            f"vqa is {str(name_or_path)!r}, which holds no {name}; expected a folder and an id on the hub with one"
        )
    try:
        with hide_progress_bars():
            processor = processor_class.from_pretrained(folder, local_files_only=True)
            model = model_class.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True
            )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"vqa is {str(name_or_path)!r}, which cannot be loaded ({str(error).strip()}); expected a folder and an id on "
            f"the hub with a {name} in safetensors and its processor"
        ) from None
    return model.to(device).eval().requires_grad_(False), processor


def _asked(question: str) -> str:
    if not question.strip():
        raise InputError(f"question is {question!r}; expected a text such as 'is this a pet?'")
    return question

"""Questions about pictures, and who can answer them: a BLIP or BLIP-2 model, or any CLIP over a list of words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from .errors import InputError
from .loading import quiet, usable_device
from .pipeline import Pipeline
from .world.captions import article
from .zoo import MODELS, verify

ROWS = 64  # pictures asked about at once
STYLE = "what style is this picture?"


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
    def load(cls, name_or_path: str | Path = "menagerie", device: str | torch.device = "cpu") -> "BlipVqa":
        """The bundled model by name, or a folder with a BlipForQuestionAnswering and its processor.

        Raises InputError for an unknown device, damaged bundled files, and a folder that holds no model.
        """
        from transformers import BlipForQuestionAnswering, BlipProcessor

        folder, bundled = Path(name_or_path), MODELS["menagerie"].folder
        if str(name_or_path) == "menagerie" and bundled is not None:
            verify(bundled)
            folder = bundled / "vqa"
        if not (folder / "config.json").is_file():
            raise InputError(f"vqa is {str(name_or_path)!r}; allowed are 'menagerie' and a folder with a BlipForQuestionAnswering")
        with quiet():
            model: Any = BlipForQuestionAnswering.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
            processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
        return cls(model.to(usable_device(device)).eval().requires_grad_(False), processor)

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """One short answer for each picture. Raises InputError for an empty question."""
        ids = self.processor.tokenizer(_asked(question), return_tensors="pt").input_ids.to(self.model.device)
        answers = []
        for part in pictures.detach().split(ROWS):
            pixels = self.processor.image_processor(images=list(part.float().cpu()), do_rescale=False, return_tensors="pt").pixel_values
            out = self.model.generate(ids.expand(len(part), -1), pixels.to(self.model.device), max_new_tokens=8)
            answers += self.processor.tokenizer.batch_decode(out, skip_special_tokens=True)
        return [answer.strip().lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class Blip2Vqa:
    """A `Blip2ForConditionalGeneration` with its processor (Li et al., arXiv 2301.12597): ConceptLab's own choice, of 4 billion weights."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, name_or_path: str | Path = "Salesforce/blip2-flan-t5-xl", device: str | torch.device = "cpu",
             dtype: torch.dtype | None = None) -> "Blip2Vqa":
        """A folder or a hub's id; in float32 on a CPU and in bfloat16 elsewhere unless told otherwise. Raises InputError for an unknown
        device, and where no model is found."""
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        where = usable_device(device)
        try:
            with quiet():
                model: Any = Blip2ForConditionalGeneration.from_pretrained(
                    name_or_path, dtype=dtype or (torch.float32 if where.type == "cpu" else torch.bfloat16))
                processor = Blip2Processor.from_pretrained(name_or_path)
        except OSError as error:
            raise InputError(f"vqa is {str(name_or_path)!r}, which cannot be loaded ({error}); allowed are a folder and a hub's id of a "
                             "Blip2ForConditionalGeneration") from None
        return cls(model.to(where).eval().requires_grad_(False), processor)

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """One short answer for each picture, asked in the form the model was trained with. Raises InputError for an empty question."""
        told = f"Question: {_asked(question)} Answer:"
        answers = []
        for part in pictures.detach().float().cpu().split(ROWS):
            inputs = self.processor(images=list(part), text=[told] * len(part), do_rescale=False, return_tensors="pt")
            out = self.model.generate(**inputs.to(self.model.device, self.model.dtype), max_new_tokens=8)
            # A language model without an encoder repeats what it was told.
            new = out if self.model.config.text_config.is_encoder_decoder else out[:, inputs.input_ids.shape[1]:]
            answers += self.processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [answer.strip().lower() for answer in answers]


@dataclass(frozen=True, eq=False)
class ZeroShotVqa:
    """CLIP in place of a VQA model: of `words`, the one whose prompt lies nearest the picture. Also answers "is this a {word}?"."""

    pipe: Pipeline
    words: Sequence[str]
    template: str = "a photo of a {}"

    def ask(self, pictures: Float[Tensor, "n 3 h w"], question: str) -> list[str]:
        """Raises InputError for fewer than two words, and for "is this a ...?" with something that is none of them."""
        if len(self.words) < 2:
            raise InputError(f"words is {list(self.words)}; allowed are at least two to choose from")
        text = normalize(self.pipe.encode_text([self.template.format(word) for word in self.words]).pooled.float(), dim=-1)
        nearest = (normalize(self.pipe.encode_images(pictures), dim=-1) @ text.T).argmax(-1).tolist()
        found = [str(self.words[i]) for i in nearest]
        if not question.lower().startswith("is this "):
            return found
        asked = question.lower().removeprefix("is this ").rstrip("? ").removeprefix("an ").removeprefix("a ")
        if asked not in self.words:
            raise InputError(f"question is {question!r}, which asks for none of the words; allowed are {', '.join(self.words)}")
        return ["yes" if word == asked else "no" for word in found]


def _asked(question: str) -> str:
    if not question.strip():
        raise InputError(f"question is {question!r}; allowed is a text such as 'is this a pet?'")
    return question

"""A vector in place of a word's token embedding (textual inversion, arXiv 2208.01618)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..english import check_template, clean_word
from ..errors import InputError, nearest, one_of, shown, whole
from ..unclip.conditions import TextCondition
from ..unclip.pipeline import Pipeline
from ..unclip.prior import NoiseSource, PriorSampling
from .base import MOST_CONCEPTS, Concept, read

# Starting points of several concepts differ by this share of the token table's spread: enough to
# part ways, too little to see.
JITTER = 0.05
PHRASES = {"subject": "{word}", "feature": "{word} with {last}", "adjective": "{last} {word}"}


@dataclass(frozen=True, eq=False, repr=False)
class TokenConcept(Concept):
    """k vectors, each of which stands for something that no word names yet.

    There are three kinds, here for the word "pet":

    - subject: a template's place holds the vector itself, which begins as "pet" and may become
        anything;
    - feature: the place holds "pet with" and the vector, so that the text still says what the thing
        is;
    - adjective: the place holds the vector and then "pet".

    Of several words, as in "musical instrument", a subject replaces the last.
    """

    word: str
    # In place of a token's embedding.
    vectors: Float[Tensor, "k w"]
    # Root mean square of the model's token table.
    scale: float
    kind: str = "subject"

    @property
    def phrase(self) -> str:
        """What stands in a template's place; the vector takes the place of one of its words."""
        return PHRASES[self.kind].format(word=self.word, last=self.word.split()[-1])

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {"vectors": self.vectors}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "TokenConcept":
        return replace(self, vectors=tensors["vectors"])

    @classmethod
    def init(
        cls,
        pipe: Pipeline,
        word: str,
        k: int = 1,
        generator: torch.Generator | None = None,
        kind: str = "subject",
    ) -> "TokenConcept":
        """Start k concepts at the word's own token embedding.

        All but the first get a little noise, for which k > 1 needs a generator. Raises InputError
        for a k that is not 1 to MOST_CONCEPTS, k above 1 without a generator, an unknown kind, and
        a bad word, see `check_token`.
        """
        whole("k", k, 1, MOST_CONCEPTS)
        one_of("kind", kind, PHRASES)
        word = clean_word("word", word)
        tokens = check_token(pipe, word)
        table = pipe.token_table.float()
        scale = table.square().mean().sqrt().item()
        vectors = table[pipe.tokenizer.convert_tokens_to_ids(tokens)].repeat(k, 1)
        if k > 1:
            if generator is None:
                raise InputError(
                    f"generator is None; k = {k} concepts need one, so that they start apart"
                )
            noise = torch.randn(
                k - 1, vectors.shape[1], generator=generator, device=generator.device
            )
            vectors[1:] += JITTER * scale * noise.to(vectors)
        return cls(word, vectors, scale, kind)

    def condition(self, pipe: Pipeline, template: str) -> TextCondition:
        """Encode a template such as "a photo of a {}" k times, with the concept in its place.

        Differentiable in the vectors. Raises InputError for a template without exactly one
        free-standing {}.
        """
        check_template(template)
        before = template.split("{}")[0] + (self.phrase if self.kind != "adjective" else "")
        place = len(pipe.tokenizer(before).input_ids) - 1 - (self.kind != "adjective")
        return pipe.encode_spliced(template.replace("{}", self.phrase), place, self.vectors)

    def sample(
        self,
        pipe: Pipeline,
        template: str,
        n: int,
        *,
        noise: NoiseSource,
        sampling: PriorSampling = PriorSampling(),
    ) -> Float[Tensor, "k n d"]:
        """Draw n image embeddings of each concept in a template; differentiable in the vectors."""
        return pipe.sample_prior(self.condition(pipe, template), n, noise=noise, sampling=sampling)

    @classmethod
    def load(cls, folder: str | Path) -> "TokenConcept":
        """Read what `save` wrote. Raises InputError where there is no token concept."""
        metadata, tensors = read(folder)
        kind = metadata["kind"]
        if kind not in PHRASES:
            raise InputError(
                f"folder {str(folder)!r} holds a concept of kind {kind!r}; expected one of "
                f"{', '.join(PHRASES)}"
            )
        return cls(metadata["word"], tensors["vectors"], metadata["scale"], kind)


def check_known(pipe: Pipeline, name: str, text: str) -> None:
    """Raise InputError if a text is too long or, bundled models only, has unknown words.

    `name` is the argument that an error names.
    """
    pipe.token_ids([text])
    unknown = pipe.unknown_words(text) if pipe.has_truth else []
    if unknown:
        known = (token.removesuffix("</w>") for token in pipe.tokenizer.get_vocab())
        raise InputError(
            f"{name} is {shown(text)}, with words that {pipe.name} never saw: "
            f"{', '.join(map(shown, unknown))}{nearest(unknown[0], known)}"
        )


def check_token(pipe: Pipeline, word: str) -> list[str]:
    """Return the token of a word, of several words that of the last, in a list.

    Raises InputError unless it is exactly one token of the model: there is no vector to begin at
    for a word that the model reads in pieces.
    """
    tokens = pipe.tokenizer.tokenize(word.split()[-1])
    if len(tokens) != 1:
        raise InputError(
            f"word is {shown(word)}, whose last word is {len(tokens)} tokens of {pipe.name!r}; "
            "expected exactly one token"
        )
    return tokens

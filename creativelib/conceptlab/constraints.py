"""ConceptLab's prior constraints (Richardson et al., arXiv 2308.02669): like these words, unlike
those.

    texts = TextEmbeddings(pipe)                             # encodes each prompt once
    like = Positive(texts("a photo of a {}", ["pet"]))
    unlike = Negative(texts("a photo of a {}", ["cat", "dog"])[None], present)
    objective = unlike + 1.0 * like                          # equation (3), lambda 1

A constraint is CLIP's embedding of a text, and is compared with the image embeddings that the prior
draws for the concept in the same template. The texts do not pass the prior: they stand for all
cats, not for one of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from ..english import check_template, clean_word, fill
from ..errors import listed, one_of, whole
from ..optimization.objectives import Term, check_shares
from ..sharing import Remembered, normal_tensors
from ..unclip.pipeline import Pipeline
from ..unclip.prior import PriorSampling
from .spaces import CACHED_PROMPTS, SPACES, CollectedImages, embed_in_space

# How far from chance to a match a negative begins to count. With ViT-L/14 the paper's 0.2 lies
# about there, between 0.15 and 0.28.
SHARE = 1 / 3


class TextEmbeddings:
    """CLIP's unit embeddings of words in templates. Every prompt is encoded once and remembered."""

    def __init__(self, pipe: Pipeline) -> None:
        self.pipe = pipe
        self.cache: Remembered[str, Tensor] = Remembered(CACHED_PROMPTS)

    @normal_tensors()
    def __call__(self, template: str, words: Sequence[str]) -> Float[Tensor, "m d"]:
        """Return one row for each word. No words give no rows.

        Raises InputError for a plain text in place of a list of words.
        """
        prompts = [fill(template, word) for word in listed("words", words, 0)]
        if not prompts:
            width = self.pipe.text_encoder.config.projection_dim
            return torch.empty(0, width, device=self.pipe.device)
        found = self.cache.get_all(prompts, self._encode)
        return torch.stack([found[prompt] for prompt in prompts])

    def _encode(self, prompts: list[str]) -> Float[Tensor, "m d"]:
        with torch.no_grad():
            return normalize(self.pipe.encode_text(prompts).pooled.float(), dim=-1)


@dataclass(frozen=True, eq=False)
class Positive(Term):
    """Be like every one of p texts: 1 minus the weighted mean cosine (equation 3)."""

    texts: Float[Tensor, "p d"]
    # Cosines count up to here. Without a ceiling pictures begin to show the word in letters, the
    # paper says: a cheap way to more similarity.
    ceiling: float = 1.0
    # They sum to 1; by default all texts count the same.
    weights: Float[Tensor, " p"] | None = None
    name = "positive"

    def __post_init__(self) -> None:
        check_shares(self.weights)

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        cosines = (normalize(z, dim=-1) @ self.texts.to(z).T).clamp_max(self.ceiling)
        mean = cosines.mean(2) if self.weights is None else cosines @ self.weights.to(z)
        return 1 - mean.mean(1)


@dataclass(frozen=True, eq=False)
class Negative(Term):
    """Be unlike m texts, each of k concepts its own: mean and largest cosine (equations 3 and 4).

    A concept without negatives has the loss 0.
    """

    texts: Float[Tensor, "k m d"]
    # False where a concept has fewer than m negatives.
    present: Bool[Tensor, "k m"]
    # Cosines count from here up: what is unlike enough is left alone.
    floor: float = -1.0
    # Whether the mean is averaged with the largest cosine. Without it, as equation (3) stands,
    # being one of many negatives costs little.
    use_max: bool = True
    name = "negative"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        count = self.present.sum(1).to(z.device)
        # (k, n, m)
        cosines = (normalize(z, dim=-1) @ self.texts.to(z).mT).clamp_min(self.floor)
        present = self.present.to(z.device)[:, None].expand_as(cosines)
        mean = torch.where(present, cosines, 0).sum(2) / count.clamp_min(1)[:, None]
        if self.use_max and self.texts.shape[1]:
            mean = (mean + torch.where(present, cosines, -torch.inf).amax(2)) / 2
        return torch.where(count > 0, mean.mean(1), 0)


@normal_tensors()
def negative_term(
    embed: Callable[[str, Sequence[str]], Tensor],
    template: str,
    lists: Sequence[Sequence[str]],
    floor: float,
    use_max: bool = True,
) -> Negative:
    """Build the term for k lists of words of any lengths.

    `embed` turns words in a template into unit embeddings: `TextEmbeddings`, or
    `spaces.CollectedImages`.
    """
    longest = max(map(len, lists))
    rows = [embed(template, words) for words in lists]
    padded = [torch.cat([row, row.new_zeros(longest - len(row), row.shape[1])]) for row in rows]
    texts = torch.stack(padded)
    present = torch.tensor(
        [[i < len(words) for i in range(longest)] for words in lists], dtype=torch.bool
    )
    present = present.view(len(lists), longest).to(texts.device)
    return Negative(texts, present, floor, use_max)


@dataclass(frozen=True)
class Thresholds:
    """Between which cosines constraints pull in one template.

    Cosines to "a pencil sketch of a pet" are others than those to "a photo of a pet": each template
    has its own.
    """

    # Positives count up to here.
    ceiling: float
    # Negatives count from here up.
    floor: float


def calibrate(
    pipe: Pipeline,
    word: str,
    template: str = "a photo of a {}",
    n: int = 64,
    *,
    generator: torch.Generator,
    sampling: PriorSampling = PriorSampling(),
    space: str = "prior",
) -> Thresholds:
    """Read thresholds of one template off a CLIP's own cosines.

    The paper's 0.28 and 0.2 are those of ViT-L/14 and mean nothing elsewhere. The ceiling is the
    median cosine between the word's text and what the prior draws for it: being more like a pet
    than an ordinary pet counts for nothing. Chance is the median cosine to what it draws for the
    empty prompt, and the floor lies a third of the way from there. In another `space` (see
    `spaces`) both are read off there; in the decoder's the floor is one of cosines to collected
    pictures. Raises InputError for a bad word, template, number or space.
    """
    word = clean_word("word", word)
    check_template(template)
    whole("n", n, 1)
    one_of("space", space, SPACES)
    with torch.no_grad():
        cond = pipe.encode_text([fill(template, word), ""])
        z = embed_in_space(space, pipe, cond, n, generator=generator, sampling=sampling)
        text = cond.pooled[0].float()
        ceiling = cosine_similarity(z[0], text, dim=-1).median().item()
        unlike = text
        if space == "decoder":
            unlike = CollectedImages(pipe)(template, [word])[0]
        match, chance = cosine_similarity(z, unlike, dim=-1).median(1).values.tolist()
    return Thresholds(ceiling, floor=chance + SHARE * (match - chance))

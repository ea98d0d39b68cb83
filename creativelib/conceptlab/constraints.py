"""ConceptLab's prior constraints (Richardson et al., arXiv 2308.02669): like these words, unlike those.

    words = Words(pipe)                                      # encodes each prompt once
    like = Positive(words("a photo of a {}", ["pet"]))
    unlike = Negative(words("a photo of a {}", ["cat", "dog"])[None], present)
    objective = unlike + 1.0 * like                          # equation (3), lambda 1

A constraint is CLIP's embedding of a text, and is compared with the image embeddings that the prior draws for the concept in the same
template. The texts do not pass the prior: they stand for all cats, not for one of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from ..optimization.objectives import Term
from ..unclip.pipeline import Pipeline
from ..unclip.prior import PriorSampling
from .spaces import CollectedImages, embed_in_space


@dataclass(frozen=True, eq=False)
class TextEmbeddings:
    """CLIP's unit embeddings of words in templates. Every prompt is encoded once and then remembered."""

    pipe: Pipeline
    known: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, template: str, words: Sequence[str]) -> Float[Tensor, "m d"]:
        """One row for each word. No words give no rows."""
        prompts = [template.format(word) for word in words]
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.known]
        if new:
            with torch.no_grad():
                self.known.update(
                    zip(
                        new,
                        normalize(self.pipe.encode_text(new).pooled.float(), dim=-1),
                        strict=True,
                    )
                )
        if not prompts:
            return torch.empty(
                0, self.pipe.text_encoder.config.projection_dim, device=self.pipe.device
            )
        return torch.stack([self.known[prompt] for prompt in prompts])


@dataclass(frozen=True, eq=False)
class Positive(Term):
    """Be like every one of p texts: 1 minus the weighted mean cosine, which counts up to `ceiling` (equation 3, positive part).

    Without the ceiling pictures begin to show the word in letters, the paper says: a cheap way to more similarity. `weights` sum to 1.
    """

    texts: Float[Tensor, "p d"]
    ceiling: float = 1.0
    weights: Float[Tensor, " p"] | None = None
    name = "positive"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        cosines = (normalize(z, dim=-1) @ self.texts.to(z).T).clamp_max(self.ceiling)
        mean = cosines.mean(2) if self.weights is None else cosines @ self.weights.to(z)
        return 1 - mean.mean(1)


@dataclass(frozen=True, eq=False)
class Negative(Term):
    """Be unlike m texts, for each of k concepts its own: the mean cosine, averaged with the largest one (equations 3 and 4).

    Cosines count from `floor` up: what is unlike enough is left alone. `present` is False where a concept has fewer than m negatives; a
    concept without any has the loss 0. `largest` False leaves the largest out, as equation (3) stands: among many negatives to be one of
    them then costs little.
    """

    texts: Float[Tensor, "k m d"]
    present: Bool[Tensor, "k m"]
    floor: float = -1.0
    use_max: bool = True
    name = "negative"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        count = self.present.sum(1).to(z.device)
        cosines = (normalize(z, dim=-1) @ self.texts.to(z).mT).clamp_min(self.floor)  # k n m
        here = self.present.to(z.device)[:, None].expand_as(cosines)
        mean = torch.where(here, cosines, 0).sum(2) / count.clamp_min(1)[:, None]
        if self.use_max and self.texts.shape[1]:
            mean = (mean + torch.where(here, cosines, -torch.inf).amax(2)) / 2
        return torch.where(count > 0, mean.mean(1), 0)


def negative_term(
    words: Callable[[str, Sequence[str]], Tensor],
    template: str,
    lists: Sequence[Sequence[str]],
    floor: float,
    use_max: bool = True,
) -> Negative:
    """The term for k lists of words of any lengths, which `words` (`Words` or `spaces.Collected`) turns into unit embeddings."""
    longest = max(map(len, lists))
    rows = [words(template, each) for each in lists]
    texts = torch.stack(
        [torch.cat([row, row.new_zeros(longest - len(row), row.shape[1])]) for row in rows]
    )
    present = torch.tensor(
        [[i < len(each) for i in range(longest)] for each in lists], dtype=torch.bool
    ).view(len(lists), longest)
    return Negative(texts, present.to(texts.device), floor, use_max)


@dataclass(frozen=True)
class Thresholds:
    """Between which cosines a constraint pulls: positives count up to `ceiling`, negatives from `floor` up."""

    ceiling: float
    floor: float


# How far from chance to a match a negative begins to count. With ViT-L/14 the paper's 0.2 lies about there, between 0.15 and 0.28.
SHARE = 1 / 3


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
    """Thresholds from a CLIP's own cosines; the paper's 0.28 and 0.2 are those of ViT-L/14 and mean nothing elsewhere.

    The ceiling is the median cosine between the word's text and what the prior makes of it: more like a pet than an ordinary pet counts
    for nothing. Chance is the median cosine to what it makes of the empty prompt, and the floor lies a third of the way from there. In
    another `space` (see `spaces`) both are read off there; in the decoder's the floor is of cosines to collected pictures.
    """
    with torch.no_grad():
        cond = pipe.encode_text([template.format(word), ""])
        z = embed_in_space(space, pipe, cond, n, generator=generator, sampling=sampling)
        ceiling = cosine_similarity(z[0], cond.pooled[0].float(), dim=-1).median().item()
        unlike = (
            cond.pooled[0].float()
            if space != "decoder"
            else CollectedImages(pipe)(template, [word])[0]
        )
        match, chance = cosine_similarity(z, unlike, dim=-1).median(1).values.tolist()
    return Thresholds(ceiling, chance + SHARE * (match - chance))

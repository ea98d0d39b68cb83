"""What a concept is optimised for: small terms on image embeddings, added and weighted with + and *.

    objective = Rarity(density, target=90.0) + 40 * Anchor(pipe, "a photo of a pet")
    objective(z).total      # what is minimised, one value per concept

Every term gives one value for each of k concepts and looks at each concept alone (but for `Spread`), so that concepts optimised in one
batch go the same way as they would alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, smooth_l1_loss

from ..density import Density
from ..errors import InputError
from ..unclip.pipeline import Pipeline

# Within this many nats of a target the pull grows softer, so that a concept settles instead of trembling around it.
SOFT_NATS = 5.0


@dataclass(frozen=True)
class Terms:
    """What an objective says of k concepts: the weighted sum to be minimised, and every term by name before weighting."""

    total: Float[Tensor, " k"]
    named: Mapping[str, Float[Tensor, " k"]]


# One number for all concepts, or one for each.
Weight = float | Float[Tensor, " k"]


class Term:
    """One part of an objective. A term called on embeddings is an objective of its own, with weight 1."""

    name: str

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        """The value to be minimised, one for each concept."""
        raise NotImplementedError

    def __call__(self, z: Float[Tensor, "k n d"]) -> Terms:
        return (1 * self)(z)

    def __mul__(self, weight: "Weight") -> "Objective":
        return Objective(((weight, self),))

    def __add__(self, other: "Term | Objective") -> "Objective":
        return 1 * self + other

    __rmul__ = __mul__


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms. Two terms of the same name are told apart by numbers."""

    parts: tuple[tuple[Weight, Term], ...]

    def __call__(self, z: Float[Tensor, "k n d"]) -> Terms:
        total = z.new_zeros(len(z))
        named = {}
        for weight, term in self.parts:
            same = sum(name.split(" ")[0] == term.name for name in named)
            value = term.loss(z)
            named[f"{term.name} {same + 1}" if same else term.name] = value
            total = total + weight * value
        return Terms(total, named)

    def __mul__(self, weight: Weight) -> "Objective":
        return Objective(tuple((weight * own, term) for own, term in self.parts))

    def __add__(self, other: "Term | Objective") -> "Objective":
        return Objective(self.parts + (other if isinstance(other, Objective) else 1 * other).parts)

    __rmul__ = __mul__


@dataclass(frozen=True)
class Rarity(Term):
    """Make embeddings rarer, in nats: minimises the mean log-density, which is plus log p (Song and Elgammal, arXiv 2601.22125).

    The seed text of the method prints -log p as the loss to be minimised; that sign, here `-1 * Rarity(density)`, makes images more
    typical.

    With a `target` every embedding's surprisal is pulled to that many nats, from below and from above: preference falls beyond medium
    rarity, and pictures turn to mush. The pull is the distance, softened near the target (a Huber loss): far away it is exactly the pull
    without a target, so the weights of other terms keep their meaning, which a squared distance would change from nat to nat.
    """

    density: Density
    target: float | None = None
    name = "rarity"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        surprisal = self.density.surprisal(z)
        if self.target is None:
            return -surprisal.mean(1)
        return smooth_l1_loss(
            surprisal, torch.full_like(surprisal, self.target), beta=SOFT_NATS, reduction="none"
        ).mean(1)


class Anchor(Term):
    """Stay what the text says: how far the cosine between an embedding and CLIP's embedding of the text lies below `floor`, on average.

    With a floor of 1 that is 1 minus the mean cosine, which pulls everything towards what is most typical. With a lower one whatever is
    near enough to the text is free, and a weight can be so large that nothing is worth leaving it. The text is encoded once.
    """

    name = "anchor"

    def __init__(self, pipe: Pipeline, prompt: str, floor: float = 1.0) -> None:
        self.text = pipe.encode_text([prompt]).pooled[0].detach().float()
        self.floor = floor

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        return (self.floor - cosine_similarity(z, self.text.to(z), dim=-1)).clamp_min(0).mean(1)


@dataclass(frozen=True)
class MeanAnchor(Term):
    """Stay what is typical: how far the cosine between an embedding and the mean of a density's samples lies below `floor`, on average.

    The paper's wording leaves open what its anchor compares with (arXiv 2601.22125); this one and `Anchor` are the two readings.
    """

    density: Density
    floor: float = 1.0
    name = "mean anchor"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        return (
            (self.floor - cosine_similarity(z, self.density.subspace.mean.to(z), dim=-1))
            .clamp_min(0)
            .mean(1)
        )


@dataclass(frozen=True, eq=False)
class Similarity(Term):
    """Be like c embeddings at once, each concept like its own: 1 minus the weighted mean cosine to them.

    With several it mixes what they show (ConceptLab, arXiv 2308.02669, equation 5). `weights` sum to 1; without them all count the same.
    """

    targets: Float[Tensor, "k c d"]
    weights: Float[Tensor, " c"] | None = None
    name = "near"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        cosines = normalize(z, dim=-1) @ normalize(self.targets.to(z), dim=-1).mT
        mean = cosines.mean(2) if self.weights is None else cosines @ self.weights.to(z)
        return 1 - mean.mean(1)


@dataclass(frozen=True, eq=False)
class Direction(Term):
    """Towards some directions, or away from them: minus or plus the mean cosine between them and the way from `origin` to an embedding.

    Away is what a user asks for who has marked pictures as unwanted; towards is its mirror image. Compared as seen from the origin, since
    all embeddings of a CLIP share a large part, which would hide the rest. The three constructors take embeddings, pictures, or words.
    """

    directions: Float[Tensor, "m d"]
    origin: Float[Tensor, " d"]
    towards: bool = True
    name = "direction"

    @classmethod
    def of_embeddings(
        cls, density: Density, z: Float[Tensor, "*b d"], towards: bool = True
    ) -> "Direction":
        """To or from embeddings, as seen from the mean of the density's samples. Raises InputError for none."""
        z = z.reshape(-1, z.shape[-1]).detach().float()
        if not len(z):
            raise InputError("z holds no embeddings; expected at least 1")
        mean = density.subspace.mean.to(z)
        return cls(z - mean, mean, towards)

    @classmethod
    def of_pictures(
        cls,
        density: Density,
        pipe: Pipeline,
        pictures: Float[Tensor, "n 3 h w"],
        towards: bool = True,
    ) -> "Direction":
        """To or from what pictures in [0, 1] show."""
        with torch.no_grad():
            return cls.of_embeddings(density, pipe.encode_images(pictures), towards)

    @classmethod
    def of_words(
        cls,
        density: Density,
        pipe: Pipeline,
        prompts: Sequence[str],
        than: str,
        towards: bool = True,
    ) -> "Direction":
        """To or from what prompts say more than the prompt `than` does: text differences (DALL-E 2, arXiv 2204.06125, section 3.3).

        Text and picture embeddings lie apart, so only differences of texts can tell a way for pictures.
        """
        with torch.no_grad():
            text = normalize(pipe.encode_text([than, *prompts]).pooled.float(), dim=-1)
        return cls(text[1:] - text[0], density.subspace.mean.to(text), towards)

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        gone = normalize(z - self.origin.to(z), dim=-1)
        cosine = (gone @ normalize(self.directions.to(z), dim=-1).T).mean((1, 2))
        return -cosine if self.towards else cosine


@dataclass(frozen=True)
class Repulsion(Term):
    """Push concepts apart, so that seeds do not all end at the same creature.

    The mean cosine, where positive, between a concept's mean embedding and each other's, in the density's whitened coordinates: around
    the typical embedding, where every direction counts alike. With one concept it is 0. This term couples the concepts of a batch.
    """

    density: Density
    name = "spread"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        k = len(z)
        ways = normalize(self.density.whiten(z).mean(1), dim=-1)
        cosines = (ways @ ways.T).clamp_min(0)
        return (cosines - torch.diag(cosines.diagonal())).sum(1) / max(k - 1, 1)

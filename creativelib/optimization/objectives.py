"""What a concept is optimized for: terms on image embeddings, combined with + - * / and `sum`.

    objective = Rarity(density, target=90.0) + 40 * Anchor(pipe, "a photo of a pet")
    objective(z).total      # what is minimized, one value per concept

Every term gives one value for each of k concepts and looks at each concept alone (except
`Repulsion`), so concepts optimized in one batch go as they would alone. A plain function from
embeddings (k, n, d) to k values is a term as well, see `as_objective`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, smooth_l1_loss

from ..density import Density
from ..errors import InputError, finite, listed, shown
from ..unclip.pipeline import Pipeline

# Within this many nats of a target the pull grows softer, so that a concept settles instead of
# trembling around it.
SOFT_NATS = 5.0
# Rounding error of the sum of weights that sum to 1.
SHARES_ERROR = 1e-3


@dataclass(frozen=True)
class Terms:
    """An objective's values for k concepts."""

    # The weighted sum to be minimized.
    total: Float[Tensor, " k"]
    # Every term by name, before weighting.
    named: Mapping[str, Float[Tensor, " k"]]


# One number for all concepts, or one for each.
Weight = float | Float[Tensor, " k"]


class Summand:
    """Arithmetic that `Term` and `Objective` share."""

    def __mul__(self, weight: Weight) -> "Objective":
        raise NotImplementedError

    def __rmul__(self, weight: Weight) -> "Objective":
        return self * weight

    def __truediv__(self, divisor: float) -> "Objective":
        return self * (1 / divisor)

    def __neg__(self) -> "Objective":
        return self * -1

    def __add__(self, other: "Addend") -> "Objective":
        return Objective((self * 1).parts + as_objective(other).parts)

    def __radd__(self, other: "Addend") -> "Objective":
        return Objective(as_objective(other).parts + (self * 1).parts)

    def __sub__(self, other: "Addend") -> "Objective":
        return self + -1 * as_objective(other)

    def __rsub__(self, other: "Addend") -> "Objective":
        return as_objective(other) + -1 * self


class Term(Summand):
    """One part of an objective. Called on embeddings, it is an objective with weight 1."""

    name: str

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        """Return the value to be minimized, one for each concept."""
        raise NotImplementedError

    def __call__(self, z: Float[Tensor, "k n d"]) -> Terms:
        return (1 * self)(z)

    def __mul__(self, weight: Weight) -> "Objective":
        return Objective(((weight, self),))


@dataclass(frozen=True)
class FunctionTerm(Term):
    """A function from embeddings (k, n, d) to k values, as a term named after the function."""

    function: Callable[[Tensor], Tensor]

    @property
    def name(self) -> str:  # type: ignore[override]
        return getattr(self.function, "__name__", type(self.function).__name__)

    def loss(self, z: Float[Tensor, "k n d"]) -> Tensor:
        return self.function(z)


@dataclass(frozen=True)
class Objective(Summand):
    """A weighted sum of terms. Two terms of the same name are told apart by numbers."""

    parts: tuple[tuple[Weight, Term], ...]

    def __call__(self, z: Float[Tensor, "k n d"]) -> Terms:
        """Evaluate all terms.

        Raises InputError for a term that does not give one value for each of the k concepts: a
        scalar would be added to every concept unnoticed.
        """
        total = z.new_zeros(len(z))
        named = {}
        for weight, term in self.parts:
            same = sum(name.split(" ")[0] == term.name for name in named)
            value = term.loss(z)
            if value.shape != total.shape:
                raise InputError(
                    f"term {term.name!r} gave values of shape {tuple(value.shape)}; expected "
                    f"({len(z)},), one value for each concept"
                )
            named[f"{term.name} {same + 1}" if same else term.name] = value
            total = total + weight * value
        return Terms(total, named)

    def __mul__(self, weight: Weight) -> "Objective":
        return Objective(tuple((weight * own, term) for own, term in self.parts))


# What can be added to a term: another, an objective, a function, or the 0 that `sum` starts from.
Addend = Summand | Callable[[Tensor], Tensor] | int


def as_objective(value: "Addend | None") -> Objective:
    """Turn a term, an objective or a function into an objective; None and 0 are the empty one.

    Raises InputError for anything else.
    """
    if isinstance(value, Objective):
        return value
    if isinstance(value, Term):
        return 1 * value
    if value is None or (isinstance(value, int) and value == 0):
        return Objective(())
    if callable(value):
        return 1 * FunctionTerm(value)
    raise InputError(
        f"objective is {value!r}; expected a Term, an Objective, or a function from embeddings "
        "(k, n, d) to k values"
    )


@dataclass(frozen=True)
class Rarity(Term):
    """Make embeddings rarer, in nats: minimize the mean log-density, which is *plus* log p.

    The seed text of the method prints -log p as the loss to be minimized; that sign, here
    `-1 * Rarity(density)`, makes images more typical.

    With a `target` every embedding's surprisal is pulled to that many nats, from below and from
    above: preference falls beyond medium rarity, and pictures turn to mush. The pull is the
    distance, softened near the target (a Huber loss). Far away it is exactly the pull without a
    target, so the weights of other terms keep their meaning, which a squared distance would change
    from nat to nat.
    Source: Song and Elgammal, arXiv 2601.22125.
    """

    density: Density
    target: float | None = None
    name = "rarity"

    def __post_init__(self) -> None:
        if self.target is not None:
            finite("target", self.target)

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        surprisal = self.density.surprisal(z)
        if self.target is None:
            return -surprisal.mean(1)
        target = torch.full_like(surprisal, self.target)
        return smooth_l1_loss(surprisal, target, beta=SOFT_NATS, reduction="none").mean(1)


class Anchor(Term):
    """Stay what the text says: mean shortfall of the cosine to the text's embedding below `floor`.

    With a floor of 1 that is 1 minus the mean cosine, which pulls everything towards the most
    typical. With a lower one whatever is near enough to the text is free, and a weight can be so
    large that nothing is worth leaving it. The text is encoded once.
    """

    name = "anchor"

    def __init__(self, pipe: Pipeline, prompt: str, floor: float = 1.0) -> None:
        self.floor = finite("floor", floor)
        self.text = pipe.encode_text([prompt]).pooled[0].detach().float()

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        cosine = cosine_similarity(z, self.text.to(z), dim=-1)
        return (self.floor - cosine).clamp_min(0).mean(1)


@dataclass(frozen=True)
class MeanAnchor(Term):
    """Stay typical: mean shortfall of the cosine to the mean of a density's samples below `floor`.

    The paper's wording leaves open what its anchor compares with (arXiv 2601.22125); this one and
    `Anchor` are the two readings.
    """

    density: Density
    floor: float = 1.0
    name = "mean anchor"

    def __post_init__(self) -> None:
        finite("floor", self.floor)

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        cosine = cosine_similarity(z, self.density.subspace.mean.to(z), dim=-1)
        return (self.floor - cosine).clamp_min(0).mean(1)


def check_shares(weights: Float[Tensor, " c"] | None) -> None:
    """Raise InputError for weights that are below 0 or do not sum to 1. None are always right."""
    if weights is None:
        return
    total = float(weights.sum())
    # Negated, so that NaN is wrong, too.
    if not (bool((weights >= 0).all()) and abs(total - 1) < SHARES_ERROR):
        raise InputError(
            f"weights is {shown(weights.tolist())}; expected numbers of 0 and more that sum to 1"
        )


@dataclass(frozen=True, eq=False)
class Similarity(Term):
    """Be like c embeddings at once, each concept like its own: 1 minus the weighted mean cosine.

    With several targets it mixes what they show (ConceptLab, arXiv 2308.02669, equation 5). Raises
    InputError for weights below 0 or that do not sum to 1.
    """

    targets: Float[Tensor, "k c d"]
    # They sum to 1; by default all targets count the same.
    weights: Float[Tensor, " c"] | None = None
    name = "similarity"

    def __post_init__(self) -> None:
        check_shares(self.weights)

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        cosines = normalize(z, dim=-1) @ normalize(self.targets.to(z), dim=-1).mT
        mean = cosines.mean(2) if self.weights is None else cosines @ self.weights.to(z)
        return 1 - mean.mean(1)


@dataclass(frozen=True, eq=False)
class Direction(Term):
    """Move towards some directions, or away from them: minus or plus the mean cosine.

    Compared is the way from `origin` to an embedding: all embeddings of a CLIP share a large part,
    which would hide the rest. Away serves a user who has marked pictures as unwanted; towards is
    its mirror image. The three constructors take embeddings, pictures, or words.
    """

    directions: Float[Tensor, "m d"]
    origin: Float[Tensor, " d"]
    towards: bool = True
    name = "direction"

    @classmethod
    def of_embeddings(
        cls, density: Density, z: Float[Tensor, "*b d"], towards: bool = True
    ) -> "Direction":
        """Point from the mean of a density's samples to embeddings. Raises InputError for none."""
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
        """Point to the contents of pictures in [0, 1]."""
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
        """Point to what prompts say beyond the prompt `than`: text differences.

        Text and picture embeddings lie apart, so only differences of texts can give a direction for
        pictures. Source: DALL-E 2, arXiv 2204.06125, section 3.3. Raises InputError unless prompts
        is a list of at least one text.
        """
        prompts = listed("prompts", prompts)
        with torch.no_grad():
            text = normalize(pipe.encode_text([than, *prompts]).pooled.float(), dim=-1)
        return cls(text[1:] - text[0], density.subspace.mean.to(text), towards)

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        moved = normalize(z - self.origin.to(z), dim=-1)
        cosine = (moved @ normalize(self.directions.to(z), dim=-1).T).mean((1, 2))
        return -cosine if self.towards else cosine


@dataclass(frozen=True)
class Repulsion(Term):
    """Push concepts apart, so that seeds do not all end at the same creature.

    The mean cosine, where positive, between a concept's mean embedding and each other's, in the
    density's whitened coordinates: around the typical embedding, where every direction counts
    alike. With one concept it is 0. This term couples the concepts of a batch.
    """

    density: Density
    name = "repulsion"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        k = len(z)
        centers = normalize(self.density.whiten(z).mean(1), dim=-1)
        cosines = (centers @ centers.T).clamp_min(0)
        return (cosines - torch.diag(cosines.diagonal())).sum(1) / max(k - 1, 1)

"""Rarity steering's settings."""

from dataclasses import dataclass

from ..concept.base import KINDS, MOST_CONCEPTS
from ..errors import MOST, above, check_fields, one_of, share, whole, within
from ..unclip.prior import MOST_STEPS, PriorSampling

# Where the tail of a model's typical samples begins, as a quantile of their surprisal.
TAIL = 0.99
# Default length of a step, in units of the concept's scale. Tensors near the prior's input need to
# move far before its output does.
LR = {"subject": 0.2, "feature": 0.2, "adjective": 0.2, "lora": 0.02, "embedding": 0.05}
ON_INVALID = ("pull", "stop")
# The least that counts may be, and the most where that is not `errors.MOST`.
COUNTS = {
    "concepts": (1, MOST_CONCEPTS),
    "samples": (1,),
    "steps": (1,),
    "baseline_samples": (10,),
    "candidates": (1,),
    "check_every": (1,),
    "check_samples": (1,),
    "pullback_steps": (2, MOST_STEPS),
}
RANGES = {
    "dial": (-MOST, MOST),
    "anchor": (0, MOST),
    "floor": (0, MOST),
    "spread": (0, MOST),
    "min_valid_share": (0, 1),
    "pullback": (0, 1),
}


@dataclass(frozen=True)
class SteerConfig:
    """Rarity steering's settings. Raises InputError for values out of range."""

    # What is optimized, see `concept`: subject, feature, adjective, lora or embedding.
    kind: str = "feature"
    # Concepts steered at once.
    concepts: int = 4
    # Embeddings drawn from each concept at a step.
    samples: int = 6
    # Most steps of the loop.
    steps: int = 60
    # Step length in units of the concept's scale; by default the kind's own, see `LR`.
    lr: float | None = None
    # The target on the scale of the model's typical samples: 0 is their median surprisal, 1 their
    # 99th percentile, and below 0 lies what is more typical than the median, down to the densest
    # point (see `rarity_target`). Just past the tail by default: far past it pictures turn to mush,
    # and all seeds to the same creature.
    dial: float = 1.3
    # Weight of the anchor. By default leaving the category costs the bundled models some 300 nats.
    anchor: float = 2000.0
    # Where the anchor begins to pull, see `anchor_floor`.
    floor: float = 0.5
    # Weight of the repulsion between concepts.
    spread: float = 5.0
    # How the prior is sampled. Guidance makes samples so alike that even an ordinary picture lies
    # near the tail; without it (1) they vary as the model has learned.
    sampling: PriorSampling = PriorSampling()
    # Samples that the density of typical embeddings is fitted to.
    baseline_samples: int = 2000
    # Share of the variance that the density's principal components explain.
    pca: float = 0.95
    # Embeddings drawn for each picture; the one nearest the target is taken.
    candidates: int = 4
    # Before decoding, embeddings are noised to the level that leaves this share of
    # `pullback_steps`, and denoised for the plain prompt.
    pullback: float = 0.2
    pullback_steps: int = 10
    # With a VQA: steps between checks. A concept is also checked when it reaches `Target.stop_at`.
    check_every: int = 25
    # Pictures of each concept that a check asks about.
    check_samples: int = 4
    # Least share of them that must still be of the category.
    min_valid_share: float = 0.75
    # Below that share the concept returns to its last valid state and either continues with an
    # anchor twice as strong ("pull") or stops there ("stop", as in the paper).
    on_invalid: str = "pull"

    def __post_init__(self) -> None:
        check_fields(self, whole, COUNTS)
        check_fields(self, within, RANGES)
        check_fields(self, share, {"pca": ()})
        one_of("kind", self.kind, KINDS)
        one_of("on_invalid", self.on_invalid, ON_INVALID)
        if self.lr is not None:
            check_fields(self, above, {"lr": (0,)})


STEER_DEFAULTS = SteerConfig()

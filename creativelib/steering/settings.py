"""Rarity steering's settings."""

from dataclasses import dataclass

from ..concept import KINDS
from ..errors import InputError, at_least
from ..unclip.prior import PriorSampling

# Where the tail of what a model usually makes begins, as a share of it.
TAIL = 0.99
# The length of a step in units of the concept's scale: what is near the prior's input moves far before its output does.
LR = {"subject": 0.2, "feature": 0.2, "adjective": 0.2, "lora": 0.02, "embedding": 0.05}
ON_INVALID = ("pull", "stop")


@dataclass(frozen=True)
class SteerConfig:
    """Rarity steering's settings.

    `kind` is what is optimised, see `concept`; `lr` is by default the kind's own. `dial` sets the aim on the scale of what the model
    usually makes: 0 is its median surprisal, 1 its 99th percentile, above 1 beyond its tail. The default aims just past the tail: far past
    it pictures turn to mush and all seeds to the same creature.

    `floor` says where the anchor begins to pull (see `anchor_floor`), `anchor` how hard: by default, to leave the category costs the
    bundled models some 300 nats. Without guidance (1) the samples vary as the model has learned; guidance makes them so alike that even
    an ordinary picture lies near the tail.

    Given a VQA, every `check_every` steps and when a concept passes the goal `check_samples` of its pictures are drawn and it is asked
    whether they still are of the category. If less than `agree` of them are, the concept goes back to its last valid state and either
    stops there (`on_no` "stop", as in the paper) or goes on with an anchor twice as strong ("pull").

    Of `candidates` embeddings for each picture the one that lies nearest the target is taken: rarity varies from sample to sample. Before
    it is decoded it is pulled back by the prior's own denoiser: covered with noise again, as much as leaves `pullback` of `pullback_steps`
    steps, and denoised for the plain prompt.
    """

    kind: str = "feature"
    concepts: int = 4
    samples: int = 6
    steps: int = 60
    lr: float | None = None
    dial: float = 1.3
    anchor: float = 2000.0
    floor: float = 0.5
    spread: float = 5.0
    sampling: PriorSampling = PriorSampling()
    baseline_samples: int = 2000
    pca: float = 0.95
    candidates: int = 4
    pullback: float = 0.2
    pullback_steps: int = 10
    check_every: int = 25
    check_samples: int = 4
    min_valid_share: float = 0.75
    on_invalid: str = "pull"

    def __post_init__(self) -> None:
        limits = {
            "concepts": 1,
            "samples": 1,
            "steps": 1,
            "baseline_samples": 10,
            "candidates": 1,
            "dial": 0,
            "anchor": 0,
            "floor": 0,
            "spread": 0,
            "check_every": 1,
            "check_samples": 1,
            "min_valid_share": 0,
            "pullback": 0,
            "pullback_steps": 2,
        }
        for name, least in limits.items():
            at_least(name, getattr(self, name), least)
        for name in ("pullback", "min_valid_share"):
            if getattr(self, name) > 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected a share from 0 to 1")
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind!r}; expected {', '.join(KINDS)}")
        if self.on_invalid not in ON_INVALID:
            raise InputError(f"on_invalid is {self.on_invalid!r}; expected {', '.join(ON_INVALID)}")
        if self.lr is not None and not self.lr > 0:
            raise InputError(f"lr is {self.lr}; expected a number above 0, or None")


STEER_DEFAULTS = SteerConfig()

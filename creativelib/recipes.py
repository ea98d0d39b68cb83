"""The methods as recipes over the one loop: they build an objective, drain the loop, and return a frozen result."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .concept import KINDS, TokenConcept
from .density import Density, GaussianDensity
from .errors import InputError, at_least
from .objectives import Anchor, Rarity, Spread
from .optimize import Step, optimize
from .pipeline import Pipeline

# Where the tail of what a model usually makes begins, as a share of it.
TAIL = 0.99


@dataclass(frozen=True)
class SteerConfig:
    """Rarity steering's settings.

    `dial` sets the aim on the scale of what the model usually makes: 0 is its median surprisal, 1 its 99th percentile, above 1 beyond its
    tail. The default aims just past the tail: far past it pictures turn to mush and all seeds to the same creature.

    `floor` says where the anchor begins to pull (see `anchor_floor`), `anchor` how hard: by default, to leave the category costs the
    bundled models some 300 nats. Without guidance (1) the samples vary as the model has learned; guidance makes them so alike that even
    an ordinary picture lies near the tail.

    Of `candidates` embeddings for each picture the one nearest the target is decoded: rarity varies from sample to sample.
    """

    kind: str = "feature"
    concepts: int = 4
    samples: int = 6
    steps: int = 60
    lr: float = 0.2
    dial: float = 1.3
    anchor: float = 2000.0
    floor: float = 0.5
    spread: float = 5.0
    prior_steps: int = 5
    guidance: float = 1.0
    baseline: int = 2000
    pca: float = 0.95
    candidates: int = 4

    def __post_init__(self) -> None:
        limits = {"concepts": 1, "samples": 1, "steps": 1, "prior_steps": 2, "baseline": 10, "candidates": 1, "dial": 0, "anchor": 0,
                  "floor": 0, "spread": 0}
        for name, least in limits.items():
            at_least(name, getattr(self, name), least)
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind!r}; allowed are {', '.join(KINDS)}")
        if not self.lr > 0:
            raise InputError(f"lr is {self.lr}; allowed is a number above 0")


DEFAULTS = SteerConfig()


@dataclass(frozen=True)
class Aim:
    """Surprisals in nats: where the pull leads, and where a concept has gone far enough."""

    target: float
    goal: float


@dataclass(frozen=True, eq=False)
class SteerResult:
    """Steered concepts, the density they were steered under, and for each concept its median surprisal in nats and whether it passed the
    goal; `steps` were taken."""

    concept: TokenConcept
    density: Density
    aim: Aim
    surprisal: Float[Tensor, " k"]
    passed: Bool[Tensor, " k"]
    steps: int


def fit_baseline(pipe: Pipeline, prompt: str, config: SteerConfig = DEFAULTS) -> GaussianDensity:
    """The density of what the prior usually makes of a prompt: what a viewer has already seen.

    Always drawn with the same seed: it stands for the model and belongs to no run.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        z = pipe.sample_prior(pipe.encode_text([prompt]), config.baseline, generator=generator, guidance=config.guidance,
                              steps=config.prior_steps)
    return GaussianDensity.fit(z, pca=config.pca)


def aim(density: Density, dial: float) -> Aim:
    """Where the dial points. The goal lies half way from the baseline's 99th percentile to the target, or at a target below that."""
    typical, tail = density.quantile(0.5), density.quantile(TAIL)
    target = typical + dial * (tail - typical)
    return Aim(target, min(target, (tail + target) / 2))


def anchor_floor(pipe: Pipeline, prompt: str, config: SteerConfig = DEFAULTS) -> float:
    """The cosine to the prompt's text below which an embedding is pulled back: `config.floor` of the way from the median of what the prior
    makes of the empty prompt to the median of what it makes of this one. Thresholds taken from another CLIP would mean nothing here."""
    z = pipe.sample_prior(pipe.encode_text([prompt, ""]), 64, generator=torch.Generator().manual_seed(0), guidance=config.guidance,
                          steps=config.prior_steps)
    near, far = cosine_similarity(z, pipe.encode_text([prompt]).pooled[0].float(), dim=-1).median(1).values.tolist()
    return far + config.floor * (near - far)


def nearest(z: Float[Tensor, "k m d"], density: Density, target: float, n: int) -> Float[Tensor, "k n d"]:
    """Of m embeddings drawn from each concept, the n whose surprisal lies nearest the target in nats."""
    order = (density.surprisal(z) - target).abs().argsort(1)[:, :n]
    return z.gather(1, order[:, :, None].expand(-1, -1, z.shape[-1]))


def steering(pipe: Pipeline, word: str, density: Density, config: SteerConfig = DEFAULTS, seed: int = 0,
             template: str = "a photo of a {}") -> Iterator[Step]:
    """The loop of rarity steering, for who wants to watch; `steer` drains it (Song and Elgammal, arXiv 2601.22125)."""
    concept = TokenConcept.init(pipe, word, config.concepts, torch.Generator().manual_seed(seed), config.kind)
    prompt = template.format(word)
    rarity, anchor = Rarity(density, aim(density, config.dial).target), Anchor(pipe, prompt, anchor_floor(pipe, prompt, config))
    objective = rarity + config.anchor * anchor + config.spread * Spread(density)
    # Concept i draws from seed + i: runs whose seeds are neighbours would share their noise.
    return optimize(pipe, concept, objective, [template], steps=config.steps, lr=config.lr, seed=1000 * seed, n=config.samples,
                    prior_steps=config.prior_steps, guidance=config.guidance)


def steer(pipe: Pipeline, word: str, density: Density | None = None, config: SteerConfig = DEFAULTS, seed: int = 0,
          template: str = "a photo of a {}") -> SteerResult:
    """Steer k concepts of a word towards rare members of it.

    Each concept is kept as it was when the median surprisal of its samples first passed the goal (see `aim`): going on would cost
    validity and gain nothing. The loop ends when all have passed, or after `config.steps`.
    """
    density = density or fit_baseline(pipe, template.format(word), config)
    return drain(steering(pipe, word, density, config, seed, template), density, aim(density, config.dial))


def drain(steps: Iterable[Step], density: Density, aim: Aim) -> SteerResult:
    """Take steps until every concept has passed the goal, and keep each as it was then."""
    kept = None
    for step in steps:
        surprisal = density.surprisal(step.z).median(1).values
        now = SteerResult(step.concept, density, aim, surprisal, surprisal >= aim.goal, step.index)
        kept = now if kept is None else _keep_passed(kept, now)
        if kept.passed.all():
            break
    if kept is None:
        raise InputError("steps is empty; allowed is at least one step")
    return kept


def _keep_passed(kept: SteerResult, now: SteerResult) -> SteerResult:
    vectors = torch.where(kept.passed[:, None], kept.concept.vectors, now.concept.vectors)
    surprisal = torch.where(kept.passed, kept.surprisal, now.surprisal)
    return replace(now, concept=replace(now.concept, vectors=vectors), surprisal=surprisal, passed=kept.passed | now.passed)

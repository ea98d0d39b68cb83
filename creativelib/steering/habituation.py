"""Habituation: what one has just been shown belongs to what one has seen.

Steered in one batch, all concepts find the cheapest way to be rare, and a gallery repeats one
motif. Here they are found a batch at a time, and each batch turns away from what those before it
show. How far it goes is still counted under the first density, that of what the model usually
makes; what was shown decides about directions alone. Refitting the density with what was shown
would move its tail outwards, and with it every target.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..concept import Concept
from ..concept.base import MOST_CONCEPTS
from ..concept.kinds import check_kind
from ..density import Density
from ..english import check_template, clean_word, fill
from ..errors import MOST, check_fields, whole, within
from ..optimization.loop import drain
from ..optimization.objectives import Addend, Term, as_objective
from ..seeds import LARGEST, check_seed, seeded
from ..sharing import normal_tensors
from ..unclip.pipeline import Pipeline
from ..vision.vqa import Vqa
from .recipe import iter_steer
from .result import SteerResult, result_of
from .settings import STEER_DEFAULTS, SteerConfig
from .state import SteerState
from .target import fit_baseline

# So many seeds apart are the batches of a run: no neighboring run shares their noise.
BATCH_SEEDS = 2**44


@dataclass(frozen=True)
class HabituationConfig:
    """Settings of habituation. Raises InputError for values out of range."""

    # Batches of `SteerConfig.concepts`, found one after the other. With 1 nothing was shown before.
    batches: int = 2
    # Weight of turning away from what earlier batches show.
    weight: float = 40.0

    def __post_init__(self) -> None:
        check_fields(self, whole, {"batches": (1, MOST_CONCEPTS)})
        check_fields(self, within, {"weight": (0, MOST)})


HABITUATION_DEFAULTS = HabituationConfig()
NO_HABITUATION = HabituationConfig(batches=1)


@dataclass(frozen=True, eq=False)
class Habituation(Term):
    """Turn away from what was shown: mean cosine, where positive, to each shown concept.

    Compared are means of embeddings in the density's whitened coordinates, as in `Repulsion`. The
    cosine does not see how far they lie from the typical embedding, so this term leaves the target
    in nats alone.
    """

    density: Density
    # n embeddings of each of m concepts shown before.
    shown: Float[Tensor, "m n d"]
    # Weight of the cosine. Part of the name, so that a checkpoint of another weight is refused.
    weight: float = 1.0

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"habituation {self.weight:g}"

    def loss(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
        centers = normalize(self.density.whiten(z).mean(1), dim=-1)
        seen = normalize(self.density.whiten(self.shown.to(z)).mean(1), dim=-1)
        return self.weight * (centers @ seen.T).clamp_min(0).mean(1)


@dataclass(frozen=True, eq=False)
class Turn:
    """A state of the batch that is being steered, and what was found before."""

    state: SteerState
    # Of each batch that has ended.
    found: tuple[SteerResult, ...]


@normal_tensors()
def iter_in_turn(
    pipe: Pipeline,
    word: str,
    density: Density,
    config: SteerConfig = STEER_DEFAULTS,
    habituation: HabituationConfig = HABITUATION_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
    *,
    vqa: Vqa | None = None,
    extra: Addend | None = None,
    checkpoint: str | Path | None = None,
) -> Iterator[Turn]:
    """Yield each state of one batch after the other. `steer_in_turn` runs this to the end.

    The first batch is the run of `iter_steer` with the same arguments. With a checkpoint each batch
    has a file of its own: that of batch i > 0 ends in -i. Finished batches are read from theirs.

    Raises InputError at once for a bad word, template or seed, and at its batch for a checkpoint of
    another run.
    """
    word = clean_word("word", word)
    check_template(template)
    seed = check_seed(seed)
    added = as_objective(extra)
    file = None if checkpoint is None else Path(checkpoint)
    density = density.to(pipe.device)

    def turns() -> Iterator[Turn]:
        found: tuple[SteerResult, ...] = ()
        shown: list[Tensor] = []
        for batch in range(habituation.batches):
            away = Habituation(density, torch.cat(shown), habituation.weight) if shown else None
            own_seed = (seed + batch * BATCH_SEEDS) % (LARGEST + 1)
            last = None
            for last in iter_steer(
                pipe,
                word,
                density,
                config,
                own_seed,
                template,
                vqa=vqa,
                extra=added + as_objective(away),
                checkpoint=_file_of(file, batch),
            ):
                yield Turn(last, found)
            assert last is not None, "a run yields at least once"
            found += (result_of(last, density, config.dial),)
            shown.append(_embeddings_of(pipe, last.result, template, config, own_seed))

    return turns()


def _file_of(checkpoint: Path | None, batch: int) -> Path | None:
    """Return the checkpoint of a batch."""
    if checkpoint is None or batch == 0:
        return checkpoint
    return checkpoint.with_stem(f"{checkpoint.stem}-{batch}")


@normal_tensors()
@torch.no_grad()
def _embeddings_of(
    pipe: Pipeline, concept: Concept, template: str, config: SteerConfig, seed: int
) -> Float[Tensor, "k n d"]:
    """Draw what a batch shows, with the same noise whether it was steered just now or resumed."""
    return concept.sample(
        pipe, template, config.samples, noise=seeded(seed), sampling=config.sampling
    )


def result_of_turn(turn: Turn, density: Density, dial: float) -> SteerResult:
    """Return what all batches have found so far, as one result. Steps are counted together."""
    found = [*turn.found, result_of(turn.state, density, dial)]
    tensors = {
        name: torch.cat([each.concept.tensors[name] for each in found])
        for name in found[0].concept.tensors
    }
    return replace(
        found[-1],
        concept=found[0].concept.with_tensors(tensors),
        surprisal=torch.cat([each.surprisal for each in found]),
        passed=torch.cat([each.passed for each in found]),
        stopped=torch.cat([each.stopped for each in found]),
        steps=sum(each.steps for each in found),
        check_seconds=sum(each.check_seconds for each in found),
    )


def steer_in_turn(
    pipe: Pipeline,
    word: str,
    density: Density | None = None,
    config: SteerConfig = STEER_DEFAULTS,
    habituation: HabituationConfig = HABITUATION_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
    *,
    vqa: Vqa | None = None,
    extra: Addend | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> SteerResult:
    """Steer batches of concepts, each away from those before it; see `iter_in_turn`.

    The result holds `habituation.batches` times `config.concepts` concepts. `progress` shows a bar.
    """
    word = clean_word("word", word)
    check_template(template)
    check_seed(seed)
    check_kind(config.kind)
    density = density or fit_baseline(pipe, fill(template, word), config)
    turns = iter_in_turn(
        pipe,
        word,
        density,
        config,
        habituation,
        seed,
        template,
        vqa=vqa,
        extra=extra,
        checkpoint=checkpoint,
    )

    def describe(turn: Turn) -> dict[str, str]:
        return {"batch": f"{len(turn.found) + 1} of {habituation.batches}"}

    total = config.steps * habituation.batches
    last = drain(turns, total, "steering", describe, progress=progress)
    return result_of_turn(last, density, config.dial)

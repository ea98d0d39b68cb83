"""Rarity steering as a recipe over the one loop (Song and Elgammal, arXiv 2601.22125).

`advance` is the method: after each step of the loop it says which concepts have gone far enough and
which have to turn back. `iter_steer` runs the loop, `steer` runs it to the end.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ..concept import Concept, init
from ..concept.kinds import check_kind
from ..density import Density
from ..english import check_template, clean_word, fill
from ..optimization.loop import Step, drain, optimize
from ..optimization.objectives import Addend, Anchor, Objective, Rarity, Repulsion, as_objective
from ..seeds import check_seed, first_seed, seeded
from ..sharing import normal_tensors, with_gradients
from ..unclip.pipeline import Pipeline
from ..vision.vqa import Vqa
from .pullback import valid_share
from .result import SteerResult, result_of
from .settings import LR, STEER_DEFAULTS, SteerConfig
from .state import PASSED, RUNNING, STOPPED, SteerState
from .target import Target, anchor_floor, fit_baseline, rarity_target

# An anchor that was strengthened this many times to no avail ends the run of its concept.
MAX_ANCHOR_SCALE = 16.0


@dataclass(frozen=True, eq=False)
class SteerSetup:
    """What all steps of a run share."""

    pipe: Pipeline
    word: str
    template: str
    density: Density
    target: Target
    config: SteerConfig
    seed: int
    # Switches the semantic check on.
    vqa: Vqa | None


@normal_tensors()
def iter_steer(
    pipe: Pipeline,
    word: str,
    density: Density,
    config: SteerConfig = STEER_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
    *,
    vqa: Vqa | None = None,
    extra: Addend | None = None,
    start: Concept | None = None,
    checkpoint: str | Path | None = None,
) -> Iterator[SteerState]:
    """Yield the state after each steering step. `steer` runs this to the end.

    vqa: switches the semantic check on.
    extra: added to the objective, such as a `Direction` or a function of embeddings.
    start: where to begin, such as concepts that stand for pictures.
    checkpoint: a file to which the run is saved, at every check and every `check_every` steps, and
        from which it resumes.

    Raises InputError at once for a bad word, template or seed, and for a checkpoint of another run;
    Diverged as `optimize` does.
    """
    word = clean_word("word", word)
    check_template(template)
    seed = check_seed(seed)
    added = as_objective(extra)
    generator = seeded(seed)
    start = start or init(pipe, config.kind, word, config.concepts, generator, template)
    target = rarity_target(density, config.dial)
    about = {
        "model": pipe.fingerprint,
        "word": word,
        "template": template,
        "seed": seed,
        "settings": asdict(config),
        "check": bool(vqa),
        "target": asdict(target),
        "extra": [term.name for _, term in added.parts],
    }
    setup = SteerSetup(
        pipe=pipe,
        word=word,
        template=template,
        density=density.to(pipe.device),
        target=target,
        config=config,
        seed=seed,
        vqa=vqa,
    )
    file = None if checkpoint is None else Path(checkpoint)
    if file is not None and file.exists():
        state = SteerState.load(file, start, about)
    else:
        state = SteerState.begin(start)
    return with_gradients(_iter_steer(state, setup, added, file, about))


def _iter_steer(
    state: SteerState,
    setup: SteerSetup,
    extra: Objective,
    checkpoint: Path | None,
    about: dict[str, object],
) -> Iterator[SteerState]:
    pipe = setup.pipe
    config = setup.config
    prompt = fill(setup.template, setup.word)
    rarity = Rarity(setup.density, setup.target.surprisal)
    free = rarity + config.spread * Repulsion(setup.density) + extra
    anchor = Anchor(pipe, prompt, anchor_floor(pipe, prompt, config))
    if state.ended:
        yield state
    while not state.ended:
        weight = config.anchor * state.anchor_scale.to(pipe.device)
        steps = optimize(
            pipe,
            state.concept,
            free + weight * anchor,
            [setup.template],
            steps=config.steps,
            lr=config.lr or LR[state.concept.kind],
            seed=first_seed(setup.seed),
            n=config.samples,
            sampling=config.sampling,
            optimizer_state=state.optimizer_state,
        )
        for step in steps:
            state = state.at(step)
            if state.rejected.any():
                state = state.roll_back()
                break
            if checkpoint and step.index % config.check_every == 0:
                state.save(checkpoint, about)
            state = advance(state, step, setup)
            yield state
            if state.done:
                break
        else:
            # The loop came to its end. After a roll-back, a new one begins.
            state = replace(state, ended=True)
        if state.done:
            state = replace(state, ended=True)
    if checkpoint:
        state.save(checkpoint, about)


def advance(state: SteerState, step: Step, setup: SteerSetup) -> SteerState:
    """Update statuses after one step: target reached, and the check's result if one is due."""
    surprisal = setup.density.surprisal(step.z).median(1).values.cpu()
    if step.index == 0:
        state = replace(state, began=surprisal, surprisal=surprisal, valid_surprisal=surprisal)
    running = state.status == RUNNING
    arrived = running & setup.target.reached(surprisal, state.began)
    if setup.vqa is not None:
        asked = running if _check_is_due(step.index, setup.config) else arrived
        if not asked.any():
            return state
        return _checked(state, step, setup, setup.vqa, surprisal, asked, arrived)
    return replace(
        state,
        result=state.result.where(~running, step.concept),
        status=torch.where(arrived, PASSED, state.status),
        surprisal=torch.where(running, surprisal, state.surprisal),
    )


def _check_is_due(index: int, config: SteerConfig) -> bool:
    regular = index > 0 and index % config.check_every == 0
    return regular or index == config.steps - 1


def _checked(
    state: SteerState,
    step: Step,
    setup: SteerSetup,
    vqa: Vqa,
    surprisal: torch.Tensor,
    asked: torch.Tensor,
    arrived: torch.Tensor,
) -> SteerState:
    """Ask the VQA about the concepts in `asked`; keep valid ones, reject or stop the others."""
    config = setup.config
    clock = time.monotonic()
    z = step.z[asked.to(step.z.device)][:, : config.check_samples]
    share = state.valid_share.clone()
    share[asked] = valid_share(setup.pipe, vqa, z, setup.word, seed=step.index)
    yes = asked & (share >= config.min_valid_share)
    no = asked & ~yes
    valid = step.concept.where(yes, state.valid)
    valid_surprisal = torch.where(yes, surprisal, state.valid_surprisal)
    anchor_scale = torch.where(no, 2 * state.anchor_scale, state.anchor_scale)
    stopped = no if config.on_invalid == "stop" else no & (anchor_scale > MAX_ANCHOR_SCALE)
    status = torch.where(stopped, STOPPED, state.status)
    return replace(
        state,
        valid=valid,
        valid_surprisal=valid_surprisal,
        result=valid.where(asked, state.result),
        surprisal=torch.where(asked, valid_surprisal, state.surprisal),
        anchor_scale=anchor_scale,
        valid_share=share,
        rejected=no & ~stopped,
        status=torch.where(yes & arrived, PASSED, status),
        check_seconds=state.check_seconds + time.monotonic() - clock,
    )


def steer(
    pipe: Pipeline,
    word: str,
    density: Density | None = None,
    config: SteerConfig = STEER_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
    *,
    vqa: Vqa | None = None,
    extra: Addend | None = None,
    start: Concept | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> SteerResult:
    """Steer k concepts of a word towards rare members of it; see `iter_steer` for the arguments.

    Each concept is kept as it was when the median surprisal of its samples first came near enough
    to the target, from the side where it began (see `Target.reached`): continuing would cost
    validity and gain nothing. The loop ends when all concepts have passed or were stopped, or after
    `config.steps`. A loop whose values are no longer finite ends with what it had. `progress` shows
    a bar with the surprisal and the last check's share of "yes".
    """
    word = clean_word("word", word)
    check_template(template)
    check_seed(seed)
    check_kind(config.kind)
    density = density or fit_baseline(pipe, fill(template, word), config)
    states = iter_steer(
        pipe,
        word,
        density,
        config,
        seed,
        template,
        vqa=vqa,
        extra=extra,
        start=start,
        checkpoint=checkpoint,
    )

    def describe(state: SteerState) -> dict[str, str]:
        shown = {}
        if state.step:
            shown["surprisal"] = f"{density.surprisal(state.step.z).median():.0f}"
        if vqa:
            shown["valid"] = f"{state.valid_share.nanmean():.0%}"
        return shown

    last = drain(states, config.steps, "steering", describe, progress=progress)
    return result_of(last, density, config.dial)

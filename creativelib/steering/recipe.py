"""Rarity steering as a recipe over the one loop (Song and Elgammal, arXiv 2601.22125): where to go, when to stop, when to turn back."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from ..concept import Concept, init
from ..density import Density
from ..optimization.loop import Diverged, Step, optimize
from ..optimization.objectives import Anchor, Objective, Rarity, Repulsion, Term
from ..unclip.pipeline import Pipeline
from ..vision.vqa import Vqa
from .pullback import valid_share
from .settings import LR, STEER_DEFAULTS, SteerConfig
from .state import PASSED, RUNNING, STOPPED, SteerState
from .target import Target, anchor_floor, fit_baseline, rarity_target

MAX_ANCHOR_SCALE = (
    16.0  # an anchor pulled this many times harder to no avail ends the run of its concept
)


@dataclass(frozen=True, eq=False)
class SteerResult:
    """Steered concepts, the density they were steered under, and for each concept its median surprisal in nats, whether it passed the
    goal, and whether a check ended its run before. `steps` were taken; checks took `check_seconds` of the time."""

    concept: Concept
    density: Density
    target: Target
    surprisal: Float[Tensor, " k"]
    passed: Bool[Tensor, " k"]
    stopped: Bool[Tensor, " k"]
    steps: int
    check_seconds: float


def iter_steer(
    pipe: Pipeline,
    word: str,
    density: Density,
    config: SteerConfig = STEER_DEFAULTS,
    seed: int = 0,
    template: str = "a photo of a {}",
    *,
    vqa: Vqa | None = None,
    extra: Term | Objective | None = None,
    start: Concept | None = None,
    checkpoint: Path | None = None,
) -> Iterator[SteerState]:
    """Rarity steering step by step, for who wants to watch; `steer` takes what it ends with.

    `vqa` switches the semantic check on; `also` is added to the objective, such as a `Direction`; `start` is where to begin, such as
    a concept that stands for a picture. With a `checkpoint` the run is kept in that file, at every check and every `check_every` steps,
    and goes on from there if it was cut off. Raises InputError at once for a checkpoint of another run, and Diverged as `optimize` does.
    """
    start = start or init(
        pipe, config.kind, word, config.concepts, torch.Generator().manual_seed(seed), template
    )
    about = {
        "model": pipe.fingerprint,
        "word": word,
        "template": template,
        "seed": seed,
        "settings": asdict(config),
        "check": bool(vqa),
        "target": asdict(rarity_target(density, config.dial)),
        "extra": [term.name for _, term in (1 * extra).parts] if extra else [],
    }
    run = (
        SteerState.load(checkpoint, start, about)
        if checkpoint and checkpoint.exists()
        else SteerState.begin(start)
    )
    return _iter_steer(
        pipe, word, density, config, seed, template, vqa, extra, run, checkpoint, about
    )


def _iter_steer(
    pipe: Pipeline,
    word: str,
    density: Density,
    config: SteerConfig,
    seed: int,
    template: str,
    vqa: Vqa | None,
    extra: Term | Objective | None,
    run: SteerState,
    checkpoint: Path | None,
    about: dict[str, object],
) -> Iterator[SteerState]:
    prompt = template.format(word)
    there = rarity_target(density, config.dial)
    density = density.to(pipe.device)
    plain = (
        Rarity(density, there.surprisal)
        + config.spread * Repulsion(density)
        + (extra or Objective(()))
    )
    anchor = Anchor(pipe, prompt, anchor_floor(pipe, prompt, config))
    if run.ended:
        yield run  # read from its file
    while not run.ended:
        # Concept i draws from seed + i: runs whose seeds are neighbours would share their noise.
        loop = optimize(
            pipe,
            run.concept,
            plain + config.anchor * run.anchor_scale.to(pipe.device) * anchor,
            [template],
            steps=config.steps,
            lr=config.lr or LR[run.concept.kind],
            seed=1000 * seed,
            n=config.samples,
            optimizer_state=run.optimizer_state,
            sampling=config.sampling,
        )
        for step in loop:
            run = run.at(step)
            if run.rejected.any():
                run = run.roll_back()
                break
            if checkpoint and step.index % config.check_every == 0:
                run.save(checkpoint, about)
            run = _advance(run, step, pipe, word, density, there, config, vqa)
            yield run
            if run.done:
                break
        # A concept turned back begins a new loop; a loop that came to its end, or that nobody needs any more, ends the run.
        else:
            run = replace(run, ended=True)
        if run.done:
            run = replace(run, ended=True)
    if checkpoint:
        run.save(checkpoint, about)


def _advance(
    run: SteerState,
    step: Step,
    pipe: Pipeline,
    word: str,
    density: Density,
    there: Target,
    config: SteerConfig,
    vqa: Vqa | None,
) -> SteerState:
    """What a step means for the run: who has arrived, and what the check says."""
    surprisal = density.surprisal(step.z).median(1).values.cpu()
    if step.index == 0:
        run = replace(run, surprisal=surprisal, valid_surprisal=surprisal)
    running = run.status == RUNNING
    arrived = running & (surprisal >= there.stop_at)
    if vqa is None:
        return replace(
            run,
            result=run.result.where(~running, step.concept),
            status=torch.where(arrived, PASSED, run.status),
            surprisal=torch.where(running, surprisal, run.surprisal),
        )
    due = (
        step.index in range(config.check_every, config.steps, config.check_every)
        or step.index == config.steps - 1
    )
    asked = running if due else arrived
    if not asked.any():
        return run
    clock = time.monotonic()
    share = run.valid_share.clone()
    share[asked] = valid_share(
        pipe, vqa, step.z[asked.to(step.z.device)][:, : config.check_samples], word, step.index
    )
    yes = asked & (share >= config.min_valid_share)
    no = asked & ~yes
    valid = step.concept.where(yes, run.valid)
    valid_surprisal = torch.where(yes, surprisal, run.valid_surprisal)
    pull = torch.where(no, 2 * run.anchor_scale, run.anchor_scale)
    stopped = no if config.on_invalid == "stop" else no & (pull > MAX_ANCHOR_SCALE)
    return replace(
        run,
        valid=valid,
        valid_surprisal=valid_surprisal,
        result=valid.where(asked, run.result),
        anchor_scale=pull,
        valid_share=share,
        surprisal=torch.where(asked, valid_surprisal, run.surprisal),
        rejected=no & ~stopped,
        status=torch.where(yes & arrived, PASSED, torch.where(stopped, STOPPED, run.status)),
        check_seconds=run.check_seconds + time.monotonic() - clock,
    )


def result_of(run: SteerState, density: Density, dial: float) -> SteerResult:
    """What a run has come to."""
    return SteerResult(
        run.result,
        density,
        rarity_target(density, dial),
        run.surprisal,
        run.status == PASSED,
        run.status == STOPPED,
        run.step.index if run.step else run.optimizer_state.index,
        run.check_seconds,
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
    extra: Term | Objective | None = None,
    start: Concept | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> SteerResult:
    """Steer k concepts of a word towards rare members of it; see `steering` for the arguments.

    Each concept is kept as it was when the median surprisal of its samples first passed the goal (see `aim`): going on would cost
    validity and gain nothing. The loop ends when all have passed or were stopped, or after `config.steps`; a loop whose values are no
    longer finite ends there too, with what it had kept. `progress` shows a bar with the surprisal and the last check's share of yes.
    """
    density = density or fit_baseline(pipe, template.format(word), config)
    runs = iter_steer(
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
    last = None
    with tqdm(runs, total=config.steps, desc="steering", disable=not progress) as bar:
        try:
            for last in bar:
                shown = (
                    {"surprisal": f"{density.surprisal(last.step.z).median():.0f}"}
                    if last.step
                    else {}
                )
                bar.set_postfix(
                    shown | ({"valid": f"{last.valid_share.nanmean():.0%}"} if vqa else {}),
                    refresh=False,
                )
        except Diverged:
            if last is None:
                raise
    assert last is not None, "a run yields at least once"
    return result_of(last, density, config.dial)

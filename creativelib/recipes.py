"""Rarity steering as a recipe over the one loop (Song and Elgammal, arXiv 2601.22125): where to go, when to stop, when to turn back."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity
from tqdm.auto import tqdm

from .check import still_is
from .concept import KINDS, Concept, EmbeddingConcept, init
from .conditions import Start
from .density import Density, GaussianDensity
from .errors import InputError, at_least
from .objectives import Anchor, Near, Objective, Rarity, Spread, Term
from .optimize import Diverged, Step, optimize
from .pipeline import Pipeline
from .runs import PASSED, RUNNING, STOPPED, Run
from .vqa import Vqa

# Where the tail of what a model usually makes begins, as a share of it.
TAIL = 0.99
# The length of a step in units of the concept's scale: what is near the prior's input moves far before its output does.
LR = {"subject": 0.2, "feature": 0.2, "adjective": 0.2, "lora": 0.02, "embedding": 0.05}
ON_NO = ("pull", "stop")
HARDEST = 16.0  # an anchor pulled this many times harder to no avail ends the run of its concept


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
    prior_steps: int = 5
    guidance: float = 1.0
    baseline: int = 2000
    pca: float = 0.95
    candidates: int = 4
    pullback: float = 0.2
    pullback_steps: int = 10
    check_every: int = 25
    check_samples: int = 4
    agree: float = 0.75
    on_no: str = "pull"

    def __post_init__(self) -> None:
        limits = {"concepts": 1, "samples": 1, "steps": 1, "prior_steps": 2, "baseline": 10, "candidates": 1, "dial": 0, "anchor": 0,
                  "floor": 0, "spread": 0, "check_every": 1, "check_samples": 1, "agree": 0, "pullback": 0, "pullback_steps": 2}
        for name, least in limits.items():
            at_least(name, getattr(self, name), least)
        for name in ("pullback", "agree"):
            if getattr(self, name) > 1:
                raise InputError(f"{name} is {getattr(self, name)}; allowed is a share from 0 to 1")
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind!r}; allowed are {', '.join(KINDS)}")
        if self.on_no not in ON_NO:
            raise InputError(f"on_no is {self.on_no!r}; allowed are {', '.join(ON_NO)}")
        if self.lr is not None and not self.lr > 0:
            raise InputError(f"lr is {self.lr}; allowed is a number above 0, or None")


DEFAULTS = SteerConfig()


@dataclass(frozen=True)
class Aim:
    """Surprisals in nats: where the pull leads, and where a concept has gone far enough."""

    target: float
    goal: float


@dataclass(frozen=True, eq=False)
class SteerResult:
    """Steered concepts, the density they were steered under, and for each concept its median surprisal in nats, whether it passed the
    goal, and whether a check ended its run before. `steps` were taken; checks took `check_seconds` of the time."""

    concept: Concept
    density: Density
    aim: Aim
    surprisal: Float[Tensor, " k"]
    passed: Bool[Tensor, " k"]
    stopped: Bool[Tensor, " k"]
    steps: int
    check_seconds: float


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


def draw_rare(pipe: Pipeline, concept: Concept, density: Density, target: float, n: int, template: str, *, generator: torch.Generator,
              config: SteerConfig = DEFAULTS) -> Float[Tensor, "k n d"]:
    """Draw n embeddings of each steered concept near the target in nats, pulled back to what the prior knows; see `SteerConfig`."""
    z = concept.sample(pipe, template, n * config.candidates, generator=generator, guidance=config.guidance, steps=config.prior_steps)
    # Chosen before they are pulled back: chosen after, they would be those that would not be pulled.
    z = nearest(z, density, target, n)
    if not config.pullback:
        return z
    plain = pipe.encode_text([template.format(concept.word)] * len(concept))
    return pipe.sample_prior(plain, n, generator=generator, guidance=config.guidance, steps=config.pullback_steps,
                             start=Start(z, config.pullback))


def steering(pipe: Pipeline, word: str, density: Density, config: SteerConfig = DEFAULTS, seed: int = 0,
             template: str = "a photo of a {}", *, vqa: Vqa | None = None, also: Term | Objective | None = None,
             start: Concept | None = None, checkpoint: Path | None = None) -> Iterator[Run]:
    """Rarity steering step by step, for who wants to watch; `steer` takes what it ends with.

    `vqa` switches the semantic check on; `also` is added to the objective, such as a `Direction`; `start` is where to begin, such as
    a concept that stands for a picture. With a `checkpoint` the run is kept in that file, at every check and every `check_every` steps,
    and goes on from there if it was cut off. Raises InputError at once for a checkpoint of another run, and Diverged as `optimize` does.
    """
    start = start or init(pipe, config.kind, word, config.concepts, torch.Generator().manual_seed(seed), template)
    about = {"model": pipe.fingerprint, "word": word, "template": template, "seed": seed, "settings": asdict(config), "check": bool(vqa),
             "aim": asdict(aim(density, config.dial)), "also": [term.name for _, term in (1 * also).parts] if also else []}
    run = Run.load(checkpoint, start, about) if checkpoint and checkpoint.exists() else Run.begin(start)
    return _steering(pipe, word, density, config, seed, template, vqa, also, run, checkpoint, about)


def _steering(pipe: Pipeline, word: str, density: Density, config: SteerConfig, seed: int, template: str, vqa: Vqa | None,
              also: Term | Objective | None, run: Run, checkpoint: Path | None, about: dict[str, object]) -> Iterator[Run]:
    prompt, there, density = template.format(word), aim(density, config.dial), density.to(pipe.device)
    plain = Rarity(density, there.target) + config.spread * Spread(density) + (also or Objective(()))
    anchor = Anchor(pipe, prompt, anchor_floor(pipe, prompt, config))
    if run.ended:
        yield run  # read from its file
    while not run.ended:
        # Concept i draws from seed + i: runs whose seeds are neighbours would share their noise.
        loop = optimize(pipe, run.concept, plain + config.anchor * run.pull.to(pipe.device) * anchor, [template], steps=config.steps,
                        lr=config.lr or LR[run.concept.kind], seed=1000 * seed, n=config.samples, prior_steps=config.prior_steps,
                        guidance=config.guidance, memory=run.memory)
        for step in loop:
            run = run.at(step)
            if run.turned.any():
                run = run.set_back()
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


def _advance(run: Run, step: Step, pipe: Pipeline, word: str, density: Density, there: Aim, config: SteerConfig,
             vqa: Vqa | None) -> Run:
    """What a step means for the run: who has arrived, and what the check says."""
    surprisal = density.surprisal(step.z).median(1).values.cpu()
    if step.index == 0:
        run = replace(run, surprisal=surprisal, valid_surprisal=surprisal)
    running = run.status == RUNNING
    arrived = running & (surprisal >= there.goal)
    if vqa is None:
        return replace(run, kept=run.kept.where(~running, step.concept), status=torch.where(arrived, PASSED, run.status),
                       surprisal=torch.where(running, surprisal, run.surprisal))
    due = step.index in range(config.check_every, config.steps, config.check_every) or step.index == config.steps - 1
    asked = running if due else arrived
    if not asked.any():
        return run
    clock = time.monotonic()
    share = run.share.clone()
    share[asked] = still_is(pipe, vqa, step.z[asked.to(step.z.device)][:, :config.check_samples], word, step.index)
    yes = asked & (share >= config.agree)
    no = asked & ~yes
    valid, valid_surprisal = step.concept.where(yes, run.valid), torch.where(yes, surprisal, run.valid_surprisal)
    pull = torch.where(no, 2 * run.pull, run.pull)
    stopped = no if config.on_no == "stop" else no & (pull > HARDEST)
    return replace(run, valid=valid, valid_surprisal=valid_surprisal, kept=valid.where(asked, run.kept), pull=pull, share=share,
                   surprisal=torch.where(asked, valid_surprisal, run.surprisal), turned=no & ~stopped,
                   status=torch.where(yes & arrived, PASSED, torch.where(stopped, STOPPED, run.status)),
                   check_seconds=run.check_seconds + time.monotonic() - clock)


def result_of(run: Run, density: Density, dial: float) -> SteerResult:
    """What a run has come to."""
    return SteerResult(run.kept, density, aim(density, dial), run.surprisal, run.status == PASSED, run.status == STOPPED,
                       run.step.index if run.step else run.memory.index, run.check_seconds)


def steer(pipe: Pipeline, word: str, density: Density | None = None, config: SteerConfig = DEFAULTS, seed: int = 0,
          template: str = "a photo of a {}", *, vqa: Vqa | None = None, also: Term | Objective | None = None,
          start: Concept | None = None, checkpoint: Path | None = None, progress: bool = False) -> SteerResult:
    """Steer k concepts of a word towards rare members of it; see `steering` for the arguments.

    Each concept is kept as it was when the median surprisal of its samples first passed the goal (see `aim`): going on would cost
    validity and gain nothing. The loop ends when all have passed or were stopped, or after `config.steps`; a loop whose values are no
    longer finite ends there too, with what it had kept. `progress` shows a bar with the surprisal and the last check's share of yes.
    """
    density = density or fit_baseline(pipe, template.format(word), config)
    runs = steering(pipe, word, density, config, seed, template, vqa=vqa, also=also, start=start, checkpoint=checkpoint)
    last = None
    with tqdm(runs, total=config.steps, desc="steering", disable=not progress) as bar:
        try:
            for last in bar:
                shown = {"surprisal": f"{density.surprisal(last.step.z).median():.0f}"} if last.step else {}
                bar.set_postfix(shown | ({"valid": f"{last.share.nanmean():.0%}"} if vqa else {}), refresh=False)
        except Diverged:
            if last is None:
                raise
    assert last is not None, "a run yields at least once"
    return result_of(last, density, config.dial)


def invert(pipe: Pipeline, word: str, pictures: Float[Tensor, "k 3 h w"], config: SteerConfig = DEFAULTS, seed: int = 0,
           template: str = "a photo of a {}") -> Concept:
    """k concepts whose embeddings come as near to those of k pictures in [0, 1] as `config.steps` steps bring them: where to start
    steering from pictures of one's own (textual inversion, arXiv 2208.01618, with CLIP's embedding in place of the picture).

    With the kind "embedding" that is exact, and nothing is optimised.
    """
    with torch.no_grad():
        z = pipe.encode_images(pictures)
    if config.kind == "embedding":
        return EmbeddingConcept.at(word, z)
    start = init(pipe, config.kind, word, len(z), torch.Generator().manual_seed(seed), template)
    best, least = start, torch.full((len(z),), torch.inf)
    for step in optimize(pipe, start, Near(z[:, None]), [template], config.steps, config.lr or LR[config.kind], 1000 * seed, config.samples,
                         config.prior_steps, config.guidance):
        total = step.terms.total.cpu()
        best, least = step.concept.where(total < least, best), torch.minimum(total, least)
    return best

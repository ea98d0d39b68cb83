"""ConceptLab: learn a member of a category that does not exist yet (Richardson et al., arXiv 2308.02669), over the one loop.

    result = learn(pipe, "pet", vqa=BlipVqa.load(), config=LearnConfig(concepts=5))
    z = result.concept.sample(pipe, "a pencil sketch of a {}", 8, generator=g)

A vector starts as the category's word and becomes what is like the category and unlike its known members. Which these are is given, or
found on the way: every so many steps pictures are drawn, a VQA says what they show, and that is forbidden from then on.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity
from tqdm.auto import tqdm

from . import answers
from .answers import ADDED, LONG, Answer
from .concept import Concept, LoraConcept, TokenConcept, init
from .constraints import Positive, Thresholds, Words, calibrate, negatives
from .errors import InputError, at_least
from .optimize import Diverged, Draw, Memory, Step, noise_for, optimize
from .pipeline import Pipeline
from .spaces import SPACES, Collected, see
from .states import read_state, write_state
from .vqa import Vqa, what_kind

# As many plain ones as edits: the concept shall be one thing in all of them.
TEMPLATES = ("a photo of a {}", "a picture of a {}", "a {}", "a pencil sketch of a {}", "a watercolor painting of a {}", "a photo of a {}")


@dataclass(frozen=True)
class LearnConfig:
    """ConceptLab's settings; the paper's are in brackets.

    k `concepts` are learned at once, from `samples` embeddings each a step [1], for `steps` [2500] with AdamW, whose `lr` is in units of
    the concept's scale. A step takes the next of the `templates`. `weight` is lambda, what being like the category is worth against being
    unlike its members [1]. `largest` False leaves out equation (4), `clamps` False both thresholds. `space` is where the constraints
    compare, see `spaces`.

    Every `every` steps [250] the VQA is asked about `asked` pictures of each concept [1], and the commonest answer counts; without one,
    the next of the words that are to come is added. A concept ends when `patience` questions in a row brought no new negative.
    """

    kind: str = "feature"
    concepts: int = 4
    samples: int = 2
    steps: int = 600
    lr: float = 0.05
    templates: tuple[str, ...] = TEMPLATES
    weight: float = 1.0
    largest: bool = True
    clamps: bool = True
    space: str = "prior"
    every: int = 20
    asked: int = 2
    patience: int = 8
    prior_steps: int = 5
    guidance: float = 1.0

    def __post_init__(self) -> None:
        limits = {"concepts": 1, "samples": 1, "steps": 1, "every": 1, "asked": 1, "patience": 1, "prior_steps": 2, "weight": 0}
        for name, least in limits.items():
            at_least(name, getattr(self, name), least)
        if not self.lr > 0:
            raise InputError(f"lr is {self.lr}; allowed is a number above 0")
        if self.space not in SPACES:
            raise InputError(f"space is {self.space!r}; allowed are {', '.join(SPACES)}")
        if self.space != "prior" and self.kind == "embedding":
            raise InputError(f"space is {self.space!r} with kind 'embedding', which no text stands for; allowed is 'prior'")
        if not self.templates or isinstance(self.templates, str):
            raise InputError(f"templates is {self.templates!r}; allowed are one or more texts with {{}}")


DEFAULTS = LearnConfig()

# A style is learned like a thing, over many things: the place is where the style's name stands in the bundled world's captions. Other
# models know "a painting of a dog in the style of {}", and begin at "painting" (the paper).
STYLED = ("a {} of a pet", "a {} of a fruit", "a {} of a plant", "a {} of a building", "a {} of a vehicle", "a {} of a handbag")
STYLE = LearnConfig(kind="subject", templates=STYLED, steps=300)


@dataclass(frozen=True, eq=False)
class Learning:
    """k concepts being learned. `concept` and `memory` are what the loop goes on from, `negatives` each concept's own list, `history`
    all answers so far. `kept` is what the run will return, `quiet` how many questions in a row brought a concept nothing new, `finished`
    whether these were enough to leave it as it is. `asked_at` is the step of the last question, `ask_seconds` what questions took. `step`
    is the last step taken, None in a run just begun or read."""

    concept: Concept
    memory: Memory
    kept: Concept
    negatives: tuple[tuple[str, ...], ...]
    quiet: Int[Tensor, " k"]
    finished: Bool[Tensor, " k"]
    history: tuple[Answer, ...] = ()
    asked_at: int = 0
    ask_seconds: float = 0.0
    ended: bool = False
    step: Step | None = None

    def save(self, file: Path, about: Mapping[str, object]) -> None:
        """Write the state, and what the run is `about` so that no other run goes on from it. A crash leaves the old file."""
        facts = {"negatives": self.negatives, "history": [asdict(answer) for answer in self.history], "asked_at": self.asked_at,
                 "ask_seconds": self.ask_seconds, "ended": self.ended}
        write_state(file, {"concept": self.concept, "kept": self.kept}, self.memory,
                    {"quiet": self.quiet, "finished": self.finished}, facts, about)

    @classmethod
    def load(cls, file: Path, start: Concept, about: Mapping[str, object]) -> "Learning":
        """Read what `save` wrote; `start` is a concept of the same kind and size. Raises InputError for a file of another run."""
        concepts, memory, rows, facts = read_state(file, ("concept", "kept"), start, about)
        facts["negatives"] = tuple(map(tuple, facts["negatives"]))
        facts["history"] = tuple(Answer(**answer) for answer in facts["history"])
        return cls(memory=memory, **concepts, **rows, **facts)

    def at(self, step: Step) -> "Learning":
        """The state in which the loop would repeat this step."""
        return replace(self, concept=step.concept, memory=step.memory, step=step, kept=self.kept.where(self.finished, step.concept))

    def added(self, found: Sequence[Answer], patience: int, seconds: float) -> "Learning":
        """The state after a question to which each concept that is not finished got one answer."""
        lists, quiet = [list(words) for words in self.negatives], self.quiet.clone()
        for answer in found:
            new = answer.verdict == ADDED
            quiet[answer.concept] = 0 if new else quiet[answer.concept] + 1
            lists[answer.concept] += [answer.word] if new else []
        return replace(self, negatives=tuple(map(tuple, lists)), quiet=quiet, finished=quiet >= patience, history=(*self.history, *found),
                       asked_at=self.memory.index, ask_seconds=self.ask_seconds + seconds)


@dataclass(frozen=True, eq=False)
class LearnResult:
    """Learned concepts, the negatives that each ended with, all answers, the steps taken, and the seconds that questions took of them."""

    concept: Concept
    negatives: tuple[tuple[str, ...], ...]
    history: tuple[Answer, ...]
    steps: int
    ask_seconds: float


def learning(pipe: Pipeline, word: str, forbidden: Sequence[str] = (), config: LearnConfig = DEFAULTS, seed: int = 0, *,
             positives: Sequence[str] = (), coming: Sequence[str] = (), vqa: Vqa | None = None, question: str | None = None,
             thresholds: Thresholds | None = None, checkpoint: Path | None = None) -> Iterator[Learning]:
    """ConceptLab step by step, for who wants to watch; `learn_concept` takes what it ends with.

    The vectors start as `word` and are to be like all `positives`, by default the word, and unlike what is `forbidden`. More is forbidden
    on the way: what the `vqa` answers to the `question`, by default what kind of `word` is in the photo; or without one the words that are
    `coming`, one at a time. `thresholds` are by default calibrated with the first template (see `constraints.calibrate`).

    With a `checkpoint` the run is kept in that file, after every question and at the end, and goes on from there if it was cut off. Raises
    InputError at once for an empty word, for both a VQA and words to come, and for a checkpoint of another run; Diverged as `optimize`.
    """
    if vqa is not None and coming:
        raise InputError(f"coming is {list(coming)} beside a vqa; allowed is one of the two")
    start = init(pipe, config.kind, word, config.concepts, torch.Generator().manual_seed(seed), config.templates[0])
    if thresholds is None:
        thresholds = calibrate(pipe, word, config.templates[0], generator=torch.Generator().manual_seed(0), guidance=config.guidance,
                               steps=config.prior_steps, space=config.space)
    for each in (*(positives or [word]), *forbidden, *coming):
        if not answers.fits(each, pipe, config.templates):
            raise InputError(f"word {each!r} is too long for the text encoder in one of the templates {config.templates}")
    asks = question or what_kind(word)
    about = {"model": pipe.fingerprint, "word": word, "positives": list(positives), "forbidden": list(forbidden), "coming": list(coming),
             "question": asks if vqa else None, "seed": seed, "settings": asdict(config), "thresholds": asdict(thresholds)}
    k = len(start)
    run = Learning.load(checkpoint, start, about) if checkpoint and checkpoint.exists() else Learning(
        start, Memory(), start, (tuple(forbidden),) * k, torch.zeros(k, dtype=torch.long), torch.zeros(k, dtype=torch.bool))
    return _learning(pipe, word, config, seed, positives or (word,), coming, vqa, asks, thresholds, run, checkpoint, about)


def _learning(pipe: Pipeline, word: str, config: LearnConfig, seed: int, positives: Sequence[str], coming: Sequence[str],
              vqa: Vqa | None, question: str, thresholds: Thresholds, run: Learning, checkpoint: Path | None,
              about: dict[str, object]) -> Iterator[Learning]:
    words, clamp = Words(pipe), thresholds if config.clamps else Thresholds(1.0, -1.0)
    unlike = Collected(pipe) if config.space == "decoder" else words
    if run.ended:
        yield run  # read from its file
    while not run.ended:
        objectives = [1.0 * negatives(unlike, template, run.negatives, clamp.floor, config.largest)
                      + config.weight * Positive(words(template, positives), clamp.ceiling) for template in config.templates]
        for step in optimize(pipe, run.concept, objectives, config.templates, config.steps, config.lr, 1000 * seed, config.samples,
                             config.prior_steps, config.guidance, run.memory, _draw(config.space)):
            run = run.at(step)
            if (vqa or coming) and step.index and step.index % config.every == 0 and step.index > run.asked_at:
                break
            run = replace(run, ended=step.index == config.steps - 1)
            if run.ended and checkpoint:
                run.save(checkpoint, about)
            yield run
        if not run.ended:
            # The loop then repeats this step, against the new negatives.
            run = _question(run, pipe, word, words, clamp, config, seed, coming, vqa, question)
            run = replace(run, ended=bool(run.finished.all()))
            if checkpoint:
                run.save(checkpoint, about)
            if run.ended:
                yield run


def _draw(space: str) -> Draw | None:
    """How the loop gets embeddings of a concept in a space; None is its own way."""
    if space == "prior":
        return None

    def draw(concept: Concept, pipe: Pipeline, template: str, n: int, **how: Any) -> Tensor:
        assert isinstance(concept, TokenConcept | LoraConcept), "checked by LearnConfig"
        return see(space, pipe, concept.condition(pipe, template), n, **how)

    return draw


def _question(run: Learning, pipe: Pipeline, word: str, words: Words, clamp: Thresholds, config: LearnConfig, seed: int,
              coming: Sequence[str], vqa: Vqa | None, question: str) -> Learning:
    """One answer for each concept that is not finished: what the VQA says of its pictures, or the next word to come."""
    clock, index, plain = time.monotonic(), run.memory.index, config.templates[0]
    floor = clamp.floor if config.space == "prior" else -1.0  # a cosine elsewhere says nothing of the prior's
    going = (~run.finished).nonzero()[:, 0].tolist()
    noise = [noise_for(1000 * seed + i, -index) for i in going]
    with torch.no_grad():
        z = run.concept.rows(going).sample(pipe, plain, config.asked, generator=noise, guidance=config.guidance, steps=config.prior_steps)
        if vqa is None:
            turn = len(dict.fromkeys(answer.step for answer in run.history))
            said = [coming[turn] if turn < len(coming) else ""] * len(z)
        else:
            every = vqa.ask(pipe.decode(z, generator=noise).flatten(0, 1), question)
            said = [Counter(every[i:i + config.asked]).most_common(1)[0][0] for i in range(0, len(every), config.asked)]
        found = []
        for i, own, each in zip(going, z, said, strict=True):
            name = answers.clean(each, pipe)
            fits = answers.fits(name, pipe, config.templates)
            near = cosine_similarity(own, words(plain, [name]).to(z), dim=-1).mean().item() if name and fits else 0.0
            verdict = answers.judge(name, near, word, run.negatives[i], floor) if fits else LONG
            found.append(Answer(index, i, each, name, near, verdict))
    return run.added(found, config.patience, time.monotonic() - clock)


def learn_concept(pipe: Pipeline, word: str, forbidden: Sequence[str] = (), config: LearnConfig = DEFAULTS, seed: int = 0, *,
                  positives: Sequence[str] = (), coming: Sequence[str] = (), vqa: Vqa | None = None, question: str | None = None,
                  thresholds: Thresholds | None = None, checkpoint: Path | None = None, progress: bool = False) -> LearnResult:
    """Learn k concepts of a word that are unlike what is forbidden; see `learning` for the arguments.

    `progress` shows a bar with how like the word they are and how many negatives there are. A loop whose values are no longer finite ends
    there, with what it had; it raises Diverged where that is nothing.
    """
    runs = learning(pipe, word, forbidden, config, seed, positives=positives, coming=coming, vqa=vqa, question=question,
                    thresholds=thresholds, checkpoint=checkpoint)
    last = None
    with tqdm(runs, total=config.steps, desc=f"learning a {word}", disable=not progress) as bar:
        try:
            for last in bar:
                if last.step:
                    shown = {name: f"{1 - value.mean():.2f}" for name, value in last.step.terms.named.items() if name == "positive"}
                    bar.set_postfix(shown | {"negatives": max(map(len, last.negatives))}, refresh=False)
        except Diverged:
            if last is None:
                raise
    assert last is not None, "a run yields at least once"
    return LearnResult(last.kept, last.negatives, last.history, last.memory.index + 1, last.ask_seconds)

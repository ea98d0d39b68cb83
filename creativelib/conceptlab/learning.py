"""ConceptLab: learn a member of a category that does not exist yet (Richardson et al., arXiv 2308.02669), over the one loop.

    result = learn(pipe, "pet", vqa=BlipVqa.load(), config=LearnConfig(concepts=5))
    z = result.concept.sample(pipe, "a pencil sketch of a {}", 8, generator=g)

A vector starts as the category's word and becomes what is like the category and unlike its known members. Which these are is given, or
found on the way: every so many steps pictures are drawn, a VQA says what they show, and that is forbidden from then on.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from tqdm.auto import tqdm

from ..concept import Concept, LoraConcept, TokenConcept, init
from ..errors import InputError
from ..optimization.loop import Diverged, Draw, OptimizerState, optimize, step_generator
from ..unclip.pipeline import Pipeline
from ..unclip.prior import PriorSampling
from ..vision.vqa import Vqa, what_kind
from . import answers
from .answers import LONG, Answer
from .constraints import Positive, TextEmbeddings, Thresholds, calibrate, negative_term
from .settings import LEARN_DEFAULTS, LearnConfig
from .spaces import CollectedImages, embed_in_space
from .state import LearnState


@dataclass(frozen=True, eq=False)
class LearnResult:
    """Learned concepts, the negatives that each ended with, all answers, the steps taken, and the seconds that questions took of them."""

    concept: Concept
    negatives: tuple[tuple[str, ...], ...]
    history: tuple[Answer, ...]
    steps: int
    ask_seconds: float


def iter_learn(
    pipe: Pipeline,
    word: str,
    negatives: Sequence[str] = (),
    config: LearnConfig = LEARN_DEFAULTS,
    seed: int = 0,
    *,
    positives: Sequence[str] = (),
    scheduled_negatives: Sequence[str] = (),
    vqa: Vqa | None = None,
    question: str | None = None,
    thresholds: Thresholds | None = None,
    checkpoint: Path | None = None,
) -> Iterator[LearnState]:
    """ConceptLab step by step, for who wants to watch; `learn_concept` takes what it ends with.

    The vectors start as `word` and are to be like all `positives`, by default the word, and unlike what is `forbidden`. More is forbidden
    on the way: what the `vqa` answers to the `question`, by default what kind of `word` is in the photo; or without one the words that are
    `coming`, one at a time. `thresholds` are by default calibrated with the first template (see `constraints.calibrate`).

    With a `checkpoint` the run is kept in that file, after every question and at the end, and goes on from there if it was cut off. Raises
    InputError at once for an empty word, for both a VQA and words to come, and for a checkpoint of another run; Diverged as `optimize`.
    """
    if vqa is not None and scheduled_negatives:
        raise InputError(
            f"coming is {list(scheduled_negatives)} beside a vqa; expected one of the two"
        )
    start = init(
        pipe,
        config.kind,
        word,
        config.concepts,
        torch.Generator().manual_seed(seed),
        config.templates[0],
    )
    if thresholds is None:
        thresholds = calibrate(
            pipe,
            word,
            config.templates[0],
            generator=torch.Generator().manual_seed(0),
            space=config.space,
            sampling=config.sampling,
        )
    for each in (*(positives or [word]), *negatives, *scheduled_negatives):
        if not answers.fits_context(each, pipe, config.templates):
            raise InputError(
                f"word {each!r} is too long for the text encoder in one of the templates {config.templates}"
            )
    asks = question or what_kind(word)
    about = {
        "model": pipe.fingerprint,
        "word": word,
        "positives": list(positives),
        "forbidden": list(negatives),
        "coming": list(scheduled_negatives),
        "question": asks if vqa else None,
        "seed": seed,
        "settings": asdict(config),
        "thresholds": asdict(thresholds),
    }
    k = len(start)
    run = (
        LearnState.load(checkpoint, start, about)
        if checkpoint and checkpoint.exists()
        else LearnState(
            start,
            OptimizerState(),
            start,
            (tuple(negatives),) * k,
            torch.zeros(k, dtype=torch.long),
            torch.zeros(k, dtype=torch.bool),
        )
    )
    return _iter_learn(
        pipe,
        word,
        config,
        seed,
        positives or (word,),
        scheduled_negatives,
        vqa,
        asks,
        thresholds,
        run,
        checkpoint,
        about,
    )


def _iter_learn(
    pipe: Pipeline,
    word: str,
    config: LearnConfig,
    seed: int,
    positives: Sequence[str],
    scheduled_negatives: Sequence[str],
    vqa: Vqa | None,
    question: str,
    thresholds: Thresholds,
    run: LearnState,
    checkpoint: Path | None,
    about: dict[str, object],
) -> Iterator[LearnState]:
    words = TextEmbeddings(pipe)
    clamp = thresholds if config.use_thresholds else Thresholds(1.0, -1.0)
    unlike = CollectedImages(pipe) if config.space == "decoder" else words
    if run.ended:
        yield run  # read from its file
    while not run.ended:
        objectives = [
            1.0 * negative_term(unlike, template, run.negatives, clamp.floor, config.use_max)
            + config.weight * Positive(words(template, positives), clamp.ceiling)
            for template in config.templates
        ]
        for step in optimize(
            pipe,
            run.concept,
            objectives,
            config.templates,
            config.steps,
            config.lr,
            1000 * seed,
            config.samples,
            config.sampling,
            run.optimizer_state,
            _draw(config.space),
        ):
            run = run.at(step)
            if (
                (vqa or scheduled_negatives)
                and step.index
                and step.index % config.ask_every == 0
                and step.index > run.asked_at
            ):
                break
            run = replace(run, ended=step.index == config.steps - 1)
            if run.ended and checkpoint:
                run.save(checkpoint, about)
            yield run
        if not run.ended:
            # The loop then repeats this step, against the new negatives.
            run = _question(
                run, pipe, word, words, clamp, config, seed, scheduled_negatives, vqa, question
            )
            run = replace(run, ended=bool(run.finished.all()))
            if checkpoint:
                run.save(checkpoint, about)
            if run.ended:
                yield run


def _draw(space: str) -> Draw | None:
    """How the loop gets embeddings of a concept in a space; None is its own way."""
    if space == "prior":
        return None

    def draw(
        concept: Concept,
        pipe: Pipeline,
        template: str,
        n: int,
        *,
        noise: Any,
        sampling: PriorSampling,
    ) -> Tensor:
        assert isinstance(concept, TokenConcept | LoraConcept), "checked by LearnConfig"
        return embed_in_space(
            space, pipe, concept.condition(pipe, template), n, generator=noise, sampling=sampling
        )

    return draw


def _question(
    run: LearnState,
    pipe: Pipeline,
    word: str,
    words: TextEmbeddings,
    clamp: Thresholds,
    config: LearnConfig,
    seed: int,
    scheduled_negatives: Sequence[str],
    vqa: Vqa | None,
    question: str,
) -> LearnState:
    """One answer for each concept that is not finished: what the VQA says of its pictures, or the next word to come."""
    clock = time.monotonic()
    index = run.optimizer_state.index
    plain = config.templates[0]
    floor = (
        clamp.floor if config.space == "prior" else -1.0
    )  # a cosine elsewhere says nothing of the prior's
    going = (~run.finished).nonzero()[:, 0].tolist()
    noise = [step_generator(1000 * seed + i, -index) for i in going]
    with torch.no_grad():
        z = run.concept.select(going).sample(
            pipe, plain, config.pictures_per_question, noise=noise, sampling=config.sampling
        )
        if vqa is None:
            turn = len(dict.fromkeys(answer.step for answer in run.history))
            said = [scheduled_negatives[turn] if turn < len(scheduled_negatives) else ""] * len(z)
        else:
            every = vqa.ask(pipe.decode(z, generator=noise).flatten(0, 1), question)
            said = [
                Counter(every[i : i + config.pictures_per_question]).most_common(1)[0][0]
                for i in range(0, len(every), config.pictures_per_question)
            ]
        found = []
        for i, own, each in zip(going, z, said, strict=True):
            name = answers.normalize_answer(each, pipe)
            fits = answers.fits_context(name, pipe, config.templates)
            near = (
                cosine_similarity(own, words(plain, [name]).to(z), dim=-1).mean().item()
                if name and fits
                else 0.0
            )
            verdict = answers.verdict(name, near, word, run.negatives[i], floor) if fits else LONG
            found.append(Answer(index, i, each, name, near, verdict))
    return run.added(found, config.patience, time.monotonic() - clock)


def learn_concept(
    pipe: Pipeline,
    word: str,
    negatives: Sequence[str] = (),
    config: LearnConfig = LEARN_DEFAULTS,
    seed: int = 0,
    *,
    positives: Sequence[str] = (),
    scheduled_negatives: Sequence[str] = (),
    vqa: Vqa | None = None,
    question: str | None = None,
    thresholds: Thresholds | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> LearnResult:
    """Learn k concepts of a word that are unlike what is forbidden; see `learning` for the arguments.

    `progress` shows a bar with how like the word they are and how many negatives there are. A loop whose values are no longer finite ends
    there, with what it had; it raises Diverged where that is nothing.
    """
    runs = iter_learn(
        pipe,
        word,
        negatives,
        config,
        seed,
        positives=positives,
        scheduled_negatives=scheduled_negatives,
        vqa=vqa,
        question=question,
        thresholds=thresholds,
        checkpoint=checkpoint,
    )
    last = None
    with tqdm(runs, total=config.steps, desc=f"learning a {word}", disable=not progress) as bar:
        try:
            for last in bar:
                if last.step:
                    shown = {
                        name: f"{1 - value.mean():.2f}"
                        for name, value in last.step.terms.named.items()
                        if name == "positive"
                    }
                    bar.set_postfix(
                        shown | {"negatives": max(map(len, last.negatives))}, refresh=False
                    )
        except Diverged:
            if last is None:
                raise
    assert last is not None, "a run yields at least once"
    return LearnResult(
        last.result, last.negatives, last.history, last.optimizer_state.index + 1, last.ask_seconds
    )

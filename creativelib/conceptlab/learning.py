"""ConceptLab: learn a member of a category that does not exist yet, over the one loop.

    result = learn_concept(pipe, "pet", vqa=BlipVqa.load(), config=LearnConfig(concepts=5))
    z = result.concept.sample(pipe, "a pencil sketch of a {}", 8, noise=generator)

A vector starts as the category's word and becomes like the category and unlike its known members.
These are given, or found on the way: every so many steps pictures are drawn, a VQA names what they
show, and that name becomes a negative. Source: Richardson et al., arXiv 2308.02669.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..concept import Concept, LoraConcept, TokenConcept, init
from ..concept.token import check_known
from ..english import clean_text, clean_word, clean_words
from ..errors import InputError
from ..optimization.loop import Draw, drain, optimize, step_generator
from ..optimization.objectives import Objective
from ..seeds import check_seed, first_seed, seeded
from ..sharing import normal_tensors, with_gradients
from ..unclip.pipeline import Pipeline
from ..unclip.prior import Generators, PriorSampling
from ..vision.vqa import Vqa, what_kind
from .answers import LONG, Answer, fits_context, normalize_answer, verdict
from .constraints import Positive, TextEmbeddings, Thresholds, calibrate, negative_term
from .settings import LEARN_DEFAULTS, LearnConfig
from .spaces import CollectedImages, embed_in_space
from .state import LearnResult, LearnState


@dataclass(frozen=True, eq=False)
class LearnSetup:
    """What all steps of a run share."""

    pipe: Pipeline
    word: str
    config: LearnConfig
    seed: int
    positives: Sequence[str]
    # Words that become negatives one at a time, without a VQA.
    scheduled_negatives: Sequence[str]
    vqa: Vqa | None
    question: str
    # For each template.
    thresholds: Mapping[str, Thresholds]
    # Embeddings of words that concepts are to be like, and, in the decoder's space, unlike.
    texts: TextEmbeddings
    negatives: TextEmbeddings | CollectedImages


@normal_tensors()
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
    checkpoint: str | Path | None = None,
) -> Iterator[LearnState]:
    """Yield the state after each step of ConceptLab. `learn_concept` runs this to the end.

    word: where the vectors start.
    negatives: words that concepts are to be unlike from the start.
    positives: words that they are to be like; by default the word.
    scheduled_negatives: without a VQA, words that become negatives one at a time.
    vqa: names what pictures show, which becomes a negative.
    question: for the VQA; by default what kind of `word` is in the photo.
    thresholds: the same for all templates; by default they are calibrated for each, see
        `constraints.calibrate`.
    checkpoint: a file to which the run is saved, every `config.ask_every` steps (after the
        question, if one is asked) and at the end, and from which it resumes.

    Raises InputError at once for a bad seed; for a plain text in place of a list of words; for an
    empty word, one that comes twice in a list, one that is to be like and unlike, one that is too
    long for a template, and, bundled models only, one that the model never saw; for both a VQA and
    scheduled negatives; and for a checkpoint of another run. Raises Diverged as `optimize` does.
    """
    seed = check_seed(seed)
    word = clean_word("word", word)
    negatives = clean_words("negatives", negatives)
    positives = clean_words("positives", positives)
    scheduled_negatives = clean_words("scheduled_negatives", scheduled_negatives)
    question = what_kind(word) if question is None else clean_text("question", question)
    if vqa is not None and scheduled_negatives:
        raise InputError(
            f"scheduled_negatives is {list(scheduled_negatives)} beside a vqa; expected one of "
            "the two"
        )
    like = {each.casefold() for each in positives or (word,)}
    contrary = [each for each in negatives if each.casefold() in like]
    if contrary:
        raise InputError(
            f"negatives is {list(negatives)}; expected words other than {contrary[0]!r}, which the "
            "concepts are to be like"
        )
    for each in (word, *positives, *negatives, *scheduled_negatives):
        if not fits_context(each, pipe, config.templates):
            raise InputError(
                f"word {each!r} is too long for the text encoder in one of the templates "
                f"{config.templates}; expected a shorter one"
            )
        check_known(pipe, "word", each)
    plain = config.templates[0]
    generator = seeded(seed)
    start = init(pipe, config.kind, word, config.concepts, generator, plain)
    if not config.use_thresholds:
        thresholds = Thresholds(1.0, -1.0)
    limits = {
        template: thresholds
        or calibrate(
            pipe,
            word,
            template,
            generator=seeded(0),
            sampling=config.sampling,
            space=config.space,
        )
        for template in dict.fromkeys(config.templates)
    }
    about = {
        "model": pipe.fingerprint,
        "word": word,
        "positives": list(positives),
        "negatives": list(negatives),
        "scheduled_negatives": list(scheduled_negatives),
        "question": question if vqa else None,
        "seed": seed,
        "settings": asdict(config),
        "thresholds": {template: asdict(each) for template, each in limits.items()},
    }
    texts = TextEmbeddings(pipe)
    setup = LearnSetup(
        pipe=pipe,
        word=word,
        config=config,
        seed=seed,
        positives=positives or (word,),
        scheduled_negatives=scheduled_negatives,
        vqa=vqa,
        question=question,
        thresholds=limits,
        texts=texts,
        negatives=CollectedImages(pipe) if config.space == "decoder" else texts,
    )
    file = None if checkpoint is None else Path(checkpoint)
    if file is not None and file.exists():
        state = LearnState.load(file, start, about)
    else:
        state = LearnState.begin(start, negatives)
    return with_gradients(_iter_learn(state, setup, file, about))


def _iter_learn(
    state: LearnState, setup: LearnSetup, checkpoint: Path | None, about: dict[str, object]
) -> Iterator[LearnState]:
    config = setup.config
    asks = setup.vqa is not None or bool(setup.scheduled_negatives)
    if state.ended:
        yield state
    while not state.ended:
        steps = optimize(
            setup.pipe,
            state.concept,
            [objective_in(template, state, setup) for template in config.templates],
            config.templates,
            steps=config.steps,
            lr=config.lr,
            seed=first_seed(setup.seed),
            n=config.samples,
            sampling=config.sampling,
            optimizer_state=state.optimizer_state,
            draw=_draw_in(config.space),
        )
        for step in steps:
            state = state.at(step)
            due = step.index > 0 and step.index % config.ask_every == 0
            if asks and due and step.index > state.asked_at:
                break
            if not asks and due and checkpoint:
                # A resumed run repeats this step.
                state.save(checkpoint, about)
            state = replace(state, ended=step.index == config.steps - 1)
            if state.ended and checkpoint:
                state.save(checkpoint, about)
            yield state
        if not state.ended:
            # The next loop repeats this step, against the new negatives.
            state = ask(state, setup)
            state = replace(state, ended=bool(state.finished.all()))
            if checkpoint:
                state.save(checkpoint, about)
            if state.ended:
                yield state


def objective_in(template: str, state: LearnState, setup: LearnSetup) -> Objective:
    """Return equation (3) in one template: unlike each concept's negatives, like the positives."""
    config = setup.config
    negative = negative_term(
        setup.negatives,
        template,
        state.negatives,
        floor=setup.thresholds[template].floor,
        use_max=config.use_max,
    )
    positive = Positive(setup.texts(template, setup.positives), setup.thresholds[template].ceiling)
    return 1.0 * negative + config.weight * positive


def _draw_in(space: str) -> Draw | None:
    """Return how the loop gets embeddings in a space; None is its own way."""
    if space == "prior":
        return None

    def draw(
        concept: Concept,
        pipe: Pipeline,
        template: str,
        n: int,
        *,
        noise: Generators,
        sampling: PriorSampling,
    ) -> Tensor:
        assert isinstance(concept, TokenConcept | LoraConcept), "checked by LearnConfig"
        cond = concept.condition(pipe, template)
        return embed_in_space(space, pipe, cond, n, generator=noise, sampling=sampling)

    return draw


def ask(state: LearnState, setup: LearnSetup) -> LearnState:
    """Get one answer for each concept that is not finished, and add it to its negatives if it fits.

    The answer is the VQA's, or without one the next scheduled negative.
    """
    clock = time.monotonic()
    pipe = setup.pipe
    config = setup.config
    index = state.optimizer_state.index
    plain = config.templates[0]
    # A cosine elsewhere says nothing about the prior's.
    floor = setup.thresholds[plain].floor if config.space == "prior" else -1.0
    open_concepts = (~state.finished).nonzero()[:, 0].tolist()
    generators = [step_generator(first_seed(setup.seed) + i, -index) for i in open_concepts]
    answers = []
    with torch.no_grad():
        concept = state.concept.select(open_concepts)
        z = concept.sample(
            pipe, plain, config.pictures_per_question, noise=generators, sampling=config.sampling
        )
        replies = _replies(state, setup, z, generators)
        for i, own, reply in zip(open_concepts, z, replies, strict=True):
            name = normalize_answer(reply, pipe)
            fits = fits_context(name, pipe, config.templates)
            similarity = 0.0
            if name and fits:
                text = setup.texts(plain, [name]).to(z)
                similarity = cosine_similarity(own, text, dim=-1).mean().item()
            decision = LONG
            if fits:
                decision = verdict(name, similarity, setup.word, state.negatives[i], floor)
            answers.append(
                Answer(
                    step=index,
                    concept=i,
                    said=reply,
                    word=name,
                    similarity=similarity,
                    verdict=decision,
                )
            )
    return state.added(answers, config.patience, time.monotonic() - clock)


def _replies(
    state: LearnState, setup: LearnSetup, z: Tensor, generators: list[torch.Generator]
) -> list[str]:
    """Return the commonest answer about each concept's pictures, or the scheduled word."""
    if setup.vqa is None:
        turn = len({answer.step for answer in state.history})
        words = setup.scheduled_negatives
        return [words[turn] if turn < len(words) else ""] * len(z)
    pictures = setup.pipe.decode(z, generator=generators).flatten(0, 1)
    replies = setup.vqa.ask(pictures, setup.question)
    each = setup.config.pictures_per_question
    groups = [replies[i : i + each] for i in range(0, len(replies), each)]
    return [Counter(group).most_common(1)[0][0] for group in groups]


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
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> LearnResult:
    """Learn k concepts of a word that are unlike its negatives; see `iter_learn` for the arguments.

    `progress` shows a bar with the similarity to the positives and the number of negatives. A loop
    whose values are no longer finite ends with what it had; Diverged is raised if that is nothing.
    """
    states = iter_learn(
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

    def describe(state: LearnState) -> dict[str, object]:
        if state.step is None:
            return {}
        similarity = 1 - state.step.terms.named["positive"].mean()
        return {"positive": f"{similarity:.2f}", "negatives": max(map(len, state.negatives))}

    last = drain(states, config.steps, f"learning a {word}", describe, progress=progress)
    return LearnResult(
        concept=last.result,
        negatives=last.negatives,
        history=last.history,
        steps=last.optimizer_state.index + 1,
        ask_seconds=last.ask_seconds,
    )

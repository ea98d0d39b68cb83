"""Turn a prompt into typical and creative pictures, and report how rare and how valid they are."""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ..concept import Concept, TokenConcept
from ..concept.kinds import check_kind
from ..concept.token import check_known, check_token
from ..density import FORMAT, Density
from ..density import load as load_density
from ..english import clean_text, clean_word, subject_span, word_spans
from ..errors import InputError, nearest, shown, whole
from ..evaluation.baselines import Samples
from ..files import cache_folder, claim, make_writable, write_json
from ..pictures import save_gallery, save_picture
from ..seeds import check_seed, seeded
from ..steering.habituation import (
    NO_HABITUATION,
    HabituationConfig,
    Turn,
    iter_in_turn,
    result_of_turn,
)
from ..steering.pullback import draw_rare
from ..steering.result import SteerResult
from ..steering.settings import STEER_DEFAULTS, SteerConfig
from ..steering.target import fit_baseline
from ..unclip.pipeline import Pipeline, load
from .report import MOST_PICTURES, describe, model_of, provenance, summarize


@dataclass(frozen=True)
class Subject:
    """The subject of a prompt."""

    # The words that a concept replaces.
    word: str
    # The prompt with {} in the place of these words.
    template: str
    # The world's category that the words name, if any.
    category: str | None


@dataclass(frozen=True, eq=False)
class Creation:
    """The results of `create`."""

    # The folder that holds the same results as files.
    folder: Path
    typical: Samples
    creative: Samples
    result: SteerResult
    # The contents of report.json.
    report: dict[str, Any]


def create(
    prompt: str,
    out: str | Path,
    seed: int = 0,
    count: int = 16,
    model: str | Path = "menagerie",
    device: str | None = None,
    config: SteerConfig = STEER_DEFAULTS,
    word: str | None = None,
    habituation: HabituationConfig = NO_HABITUATION,
) -> Creation:
    """Draw `count` typical and `count` creative pictures of a prompt.

    The pictures, a gallery, a report and the steered concept are written into the folder `out`. It
    belongs to one run: with the same arguments it is made again, to the same pictures.

    count: 1 to MOST_PICTURES.
    seed: 0 to 2**63 - 1.
    word: the word of the prompt to steer; by default see `find_subject`.
    habituation: batches of `config.concepts` that are steered one after the other, each away from
        what those before it show; by default one batch. See `iter_in_turn`.

    Raises InputError, before any long work, for an empty prompt and one with {}, for words that the
    bundled model does not know, for a word that is not in the prompt or not one token of the model,
    for an unwritable folder and one that holds a run with other arguments, for a count or seed out
    of range, for an unknown model or device, and as `check_kind` does.
    """
    prompt = clean_text("prompt", prompt)
    count = whole("count", count, 1, MOST_PICTURES)
    seed = check_seed(seed)
    _check_prompt(prompt, word)
    check_kind(config.kind)
    folder = Path(out)
    make_writable("out", folder)
    settings = asdict(config)
    # Folders of runs without habituation stay what they were.
    if habituation.batches > 1:
        settings["habituation"] = asdict(habituation)
    steps = config.steps * habituation.batches
    progress = Progress(steps + 4)
    with torch.no_grad():
        with progress.stage("load", "loading the model"):
            pipe = load(model, device)
            subject = find_subject(pipe, prompt, word)
            check_token(pipe, subject.word)
            arguments = {
                "command": "create",
                "prompt": prompt,
                "word": subject.word,
                "seed": seed,
                "count": count,
                "model": model_of(pipe),
                "settings": settings,
            }
            claim(folder, arguments)
        with progress.stage("density", "learning what is typical"):
            density, cached = typical_density(pipe, prompt, config)
        with progress.stage("steer", "steering", steps):
            turns = iter_in_turn(
                pipe,
                subject.word,
                density,
                config=config,
                habituation=habituation,
                seed=seed,
                template=subject.template,
            )
            *_, last = progress.watch(turns)
            result = result_of_turn(last, density, config.dial)
        with progress.stage("draw", "drawing"):
            samples = _draw_both(pipe, subject, result, count, config, seed)
        with progress.stage("judge", "judging"):
            rows = {
                kind: describe(
                    kind=kind,
                    z=each.z,
                    pictures=each.pictures,
                    density=density,
                    pipe=pipe,
                    category=subject.category,
                )
                for kind, each in samples.items()
            }
    progress.bar.close()
    report = {
        "prompt": prompt,
        "word": subject.word,
        "category": subject.category,
        "seed": seed,
        "count": count,
        "settings": settings,
        **provenance(pipe),
        "density": {
            "components": len(density.subspace.axes),
            "median": density.quantile(0.5),
            "percentile_99": density.quantile(0.99),
            "cached": cached,
            **asdict(result.target),
        },
        "steering": {
            "steps": result.steps,
            "passed": result.passed.tolist(),
            "surprisal": result.surprisal.tolist(),
            "dial": result.dial.tolist(),
        },
        **{kind: summarize(rows[kind]) for kind in rows},
        "pictures": rows["typical"] + rows["creative"],
        "seconds": progress.seconds,
    }
    for kind, each in samples.items():
        for row, picture in zip(rows[kind], each.pictures, strict=True):
            save_picture(picture, folder / row["file"])
    pictures = {kind: each.pictures for kind, each in samples.items()}
    save_gallery(pictures, folder / "gallery.png")
    result.concept.save(folder)
    write_json(folder / "report.json", report)
    return Creation(
        folder=folder,
        typical=samples["typical"],
        creative=samples["creative"],
        result=result,
        report=report,
    )


def find_subject(pipe: Pipeline, prompt: str, word: str | None = None) -> Subject:
    """Find the words of a prompt to steer.

    They are `word`, where the prompt holds it last. By default they are, for a bundled model, the
    last category or species of its world, and for another model the last word, without praise
    behind commas (see `english.subject_span`).

    Raises InputError if the prompt is too long, has no word, or holds {}; for a `word` that it does
    not hold; and (bundled models only) if it contains unknown words, or names nothing of the world
    and no word is given.
    """
    prompt = clean_text("prompt", prompt)
    wanted = _check_prompt(prompt, word)
    check_known(pipe, "prompt", prompt)
    named, category = _named(prompt) if pipe.has_truth else (subject_span(prompt), None)
    span = wanted or named
    if span is None:
        from ..world import CATEGORIES

        raise InputError(
            f"prompt is {shown(prompt)}, which names nothing of {pipe.name}'s world; expected a "
            f"text with a category ({', '.join(each.name for each in CATEGORIES)}) or one of their "
            "species"
        )
    start, end = span
    return Subject(prompt[start:end], f"{prompt[:start]}{{}}{prompt[end:]}", category)


def typical_density(pipe: Pipeline, prompt: str, config: SteerConfig) -> tuple[Density, bool]:
    """Return the density of what a prompt usually gives, and whether the cache held it.

    Otherwise, and if the cache's file is damaged, it is fitted and put there. Raises InputError
    before that if the cache cannot be written.
    """
    file = density_file(pipe, prompt, config)
    if file.is_file():
        with suppress(InputError):
            return load_density(file), True
    make_writable("CREATIVELIB_CACHE", file.parent)
    density = fit_baseline(pipe, prompt, config)
    density.save(file)
    return density, False


def density_file(pipe: Pipeline, prompt: str, config: SteerConfig) -> Path:
    """Return where the cache keeps a prompt's density, by model, prompt and settings."""
    key = [
        FORMAT,
        pipe.fingerprint,
        str(pipe.dtype),
        prompt,
        config.baseline_samples,
        config.pca,
        config.sampling.steps,
        config.sampling.guidance,
    ]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    return cache_folder() / "densities" / f"{name}.safetensors"


def draw(
    pipe: Pipeline,
    concept: Concept,
    template: str,
    count: int,
    config: SteerConfig,
    generator: torch.Generator,
    steered: SteerResult | None = None,
) -> Samples:
    """Draw `count` pictures of a concept, of its k members in turn.

    Any count thus shows as many members as it can. If `steered` is given, embeddings as rare as its
    target are drawn.
    """
    each = math.ceil(count / len(concept))
    if steered is not None:
        z = draw_rare(
            pipe,
            concept,
            steered.density,
            target=steered.target.surprisal,
            n=each,
            template=template,
            generator=generator,
            config=config,
        )
    else:
        z = concept.sample(pipe, template, each, noise=generator, sampling=config.sampling)
    z = z.transpose(0, 1).flatten(0, 1)[:count]
    return Samples(z, pipe.decode(z[None], generator=generator)[0])


class Progress:
    """One progress bar over all stages, and the seconds that each stage took."""

    def __init__(self, ticks: int) -> None:
        self.bar = tqdm(total=ticks, bar_format="{desc:<26}{percentage:3.0f}% |{bar}| {elapsed}")
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, title: str, ticks: int = 1) -> Iterator[None]:
        """Time a stage, and move the bar to the stage's end when it is done."""
        self.bar.set_description_str(title)
        started = time.perf_counter()
        end = self.bar.n + ticks
        try:
            yield
        except BaseException:
            self.bar.close()
            raise
        self.seconds[name] = round(time.perf_counter() - started, 2)
        self.bar.update(end - self.bar.n)

    def watch(self, turns: Iterable[Turn]) -> Iterator[Turn]:
        """Move the bar by one tick for each state."""
        for turn in turns:
            self.bar.update()
            yield turn


def _draw_both(
    pipe: Pipeline,
    subject: Subject,
    result: SteerResult,
    count: int,
    config: SteerConfig,
    seed: int,
) -> dict[str, Samples]:
    """Draw typical pictures of the subject, and creative ones of the steered concept."""
    generator = seeded(seed)
    plain = TokenConcept.init(pipe, subject.word)
    typical = draw(
        pipe,
        plain,
        subject.template,
        count=count,
        config=config,
        generator=generator,
    )
    creative = draw(
        pipe,
        result.concept,
        subject.template,
        count=count,
        config=config,
        generator=generator,
        steered=result,
    )
    return {"typical": typical, "creative": creative}


def _check_prompt(prompt: str, word: str | None) -> tuple[int, int] | None:
    """Find where the prompt holds the given word last, or None for no word. Needs no model."""
    if "{}" in prompt or subject_span(prompt) is None:
        raise InputError(
            f"prompt is {shown(prompt)}; expected a text with at least one word, and without {{}}"
        )
    if word is None:
        return None
    pattern = rf"(?<!\w){re.escape(clean_word('word', word))}(?!\w)"
    found = list(re.finditer(pattern, prompt, re.IGNORECASE))
    if not found:
        words = [prompt[start:end] for start, end in word_spans(prompt)]
        raise InputError(
            f"word is {shown(word)}, which is no word of the prompt {shown(prompt)}; expected one "
            f"that is{nearest(word, words)}"
        )
    return found[-1].span()


def _named(prompt: str) -> tuple[tuple[int, int] | None, str | None]:
    """Find the last name of the Menagerie in a prompt, and its category."""
    from ..world import CATEGORIES

    category_of = {
        name: category.name
        for category in CATEGORIES
        for name in (category.name, *category.species)
    }
    # Longest first, so that a name inside a longer name does not win.
    names = "|".join(re.escape(name) for name in sorted(category_of, key=len, reverse=True))
    found = list(re.finditer(rf"\b({names})\b", prompt, re.IGNORECASE))
    if not found:
        return None, None
    return found[-1].span(), category_of[found[-1].group().casefold()]

"""The main job: from a prompt to typical and creative pictures, side by side, with a report that says how rare and how valid they are."""

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ..concept import Concept, TokenConcept
from ..density import FORMAT, Density
from ..density import load as load_density
from ..errors import InputError, at_least
from ..evaluation.baselines import Samples
from ..files import atomic_write, make_writable
from ..pictures import save_gallery, save_picture
from ..steering.pullback import draw_rare
from ..steering.recipe import SteerResult, iter_steer, result_of
from ..steering.settings import STEER_DEFAULTS, SteerConfig
from ..steering.state import SteerState
from ..steering.target import fit_baseline
from ..unclip.pipeline import Pipeline, load
from .report import describe, summarise, versions


@dataclass(frozen=True)
class Subject:
    """What a prompt is about: the words a concept takes the place of, the prompt around them, and the world's category if it has one."""

    word: str
    template: str
    category: str | None


@dataclass(frozen=True, eq=False)
class Creation:
    """What `create` made; the same lies in `folder` as files."""

    folder: Path
    typical: Samples
    creative: Samples
    result: SteerResult
    report: dict[str, Any]


def create(
    prompt: str,
    out: str | Path,
    seed: int = 0,
    count: int = 16,
    model: str | Path = "menagerie",
    device: str | None = None,
    config: SteerConfig = STEER_DEFAULTS,
) -> Creation:
    """Draw `count` typical and `count` creative pictures of a prompt and write them, a gallery, a report and the concept into `out`.

    Raises InputError, before any long work, for an empty prompt, words the bundled model does not know, an unwritable folder, a count
    below 1, a seed below 0, an unknown model or device.
    """
    if not prompt.strip():
        raise InputError(
            f"prompt is {prompt!r}; expected a text that names what to draw, such as 'a photo of a pet'"
        )
    at_least("count", count, 1)
    at_least("seed", seed, 0)
    folder = Path(out)
    make_writable("out", folder)
    progress = Progress(config.steps + 4)
    with torch.no_grad():
        with progress.stage("load", "loading the model"):
            pipe = load(model, device)
            subject = find_subject(pipe, prompt)
        with progress.stage("density", "learning what is typical"):
            file = density_file(pipe, prompt, config)
            make_writable("CREATIVELIB_CACHE", file.parent)
            cached = file.is_file()
            density = load_density(file) if cached else fit_baseline(pipe, prompt, config)
            if not cached:
                keep(density, file)
        with progress.stage("steer", "steering", config.steps):
            *_, last = progress.watch(
                iter_steer(pipe, subject.word, density, config, seed, subject.template)
            )
            result = result_of(last, density, config.dial)
        with progress.stage("draw", "drawing"):
            generator = torch.Generator().manual_seed(seed)
            drawn = {
                "typical": draw(
                    pipe,
                    TokenConcept.init(pipe, subject.word),
                    subject.template,
                    count,
                    config,
                    generator,
                ),
                "creative": draw(
                    pipe, result.concept, subject.template, count, config, generator, result
                ),
            }
        with progress.stage("judge", "judging"):
            rows = {
                kind: describe(kind, made.z, made.pictures, density, pipe, subject.category)
                for kind, made in drawn.items()
            }
    progress.bar.close()
    report = {
        "prompt": prompt,
        "word": subject.word,
        "category": subject.category,
        "seed": seed,
        "count": count,
        "settings": asdict(config),
        "model": {
            "name": pipe.name,
            "fingerprint": pipe.fingerprint,
            "revisions": dict(pipe.revisions),
            "device": str(pipe.device),
            "dtype": str(pipe.dtype).removeprefix("torch."),
        },
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
        },
        **{kind: summarise(rows[kind]) for kind in rows},
        "pictures": rows["typical"] + rows["creative"],
        "seconds": progress.seconds,
        "versions": versions(),
    }
    for kind, made in drawn.items():
        for row, picture in zip(rows[kind], made.pictures, strict=True):
            save_picture(picture, folder / row["file"])
    save_gallery({kind: made.pictures for kind, made in drawn.items()}, folder / "gallery.png")
    result.concept.save(folder)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return Creation(folder, drawn["typical"], drawn["creative"], result, report)


def find_subject(pipe: Pipeline, prompt: str) -> Subject:
    """What to steer: the last category or species of the world that the prompt names, or, for a model of another world, its last word.

    Raises InputError for a prompt that is too long, and for the bundled model's, for words it does not know and where nothing is named.
    """
    pipe.token_ids([prompt])
    if not pipe.has_truth:
        words = list(re.finditer(r"[^\W\d_]+", prompt))
        if not words:
            raise InputError(f"prompt is {prompt!r}; expected a text with at least one word")
        return _subject(prompt, words[-1], None)
    from ..world import CATEGORIES

    unknown = pipe.unknown_words(prompt)
    if unknown:
        raise InputError(
            f"prompt has words that {pipe.name} never saw: {', '.join(map(repr, unknown))}; it knows the words of its world, "
            f"such as {', '.join(category.name for category in CATEGORIES)}"
        )
    homes = {
        name: category.name
        for category in CATEGORIES
        for name in (category.name, *category.species)
    }
    # Longest first, so that a name inside a longer name does not win.
    names = "|".join(re.escape(name) for name in sorted(homes, key=len, reverse=True))
    found = list(re.finditer(rf"\b({names})\b", prompt, re.IGNORECASE))
    if not found:
        raise InputError(
            f"prompt is {prompt!r}, which names nothing of {pipe.name}'s world; expected a text with a category "
            f"({', '.join(category.name for category in CATEGORIES)}) or one of their species"
        )
    return _subject(prompt, found[-1], homes[found[-1].group().lower()])


def density_file(pipe: Pipeline, prompt: str, config: SteerConfig) -> Path:
    """Where the density of a prompt is kept: under $CREATIVELIB_CACHE or ~/.cache/creativelib, by model, prompt and settings."""
    cache = Path(os.environ.get("CREATIVELIB_CACHE", Path.home() / ".cache" / "creativelib"))
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
    return (
        cache
        / "densities"
        / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}.safetensors"
    )


def keep(density: Density, file: Path) -> None:
    """Put a density into the cache."""
    with atomic_write(file) as part:
        density.save(part)


def draw(
    pipe: Pipeline,
    concept: Concept,
    template: str,
    count: int,
    config: SteerConfig,
    generator: torch.Generator,
    steered: SteerResult | None = None,
) -> Samples:
    """Draw `count` pictures of a concept's k members in turn, so that any count shows as many of them as it can."""
    each = math.ceil(count / len(concept))
    if steered:
        z = draw_rare(
            pipe,
            concept,
            steered.density,
            steered.target.surprisal,
            each,
            template,
            generator=generator,
            config=config,
        )
    else:
        z = concept.sample(pipe, template, each, noise=generator, sampling=config.sampling)
    z = z.transpose(0, 1).flatten(0, 1)[:count]
    return Samples(z, pipe.decode(z[None], generator=generator)[0])


class Progress:
    """One bar over all stages, and the seconds that each took."""

    def __init__(self, ticks: int) -> None:
        self.bar = tqdm(total=ticks, bar_format="{desc:<26}{percentage:3.0f}% |{bar}| {elapsed}")
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, title: str, ticks: int = 1) -> Iterator[None]:
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

    def watch(self, runs: Iterable[SteerState]) -> Iterator[SteerState]:
        for run in runs:
            self.bar.update()
            yield run


def _subject(prompt: str, found: re.Match[str], category: str | None) -> Subject:
    return Subject(found.group(), prompt[: found.start()] + "{}" + prompt[found.end() :], category)

"""What the commands concept, mix, evolve, draw and vary do: from words and folders to pictures, a report, concepts to go on with."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept, TokenConcept, load
from ..concept.token import check_template
from ..conceptlab import evolution
from ..conceptlab.evolution import MIX, Family, MixConfig, next_generation, picture_embeddings
from ..conceptlab.learning import learn_concept
from ..conceptlab.settings import STYLE_CONFIG, LearnConfig
from ..conceptlab.settling import settle
from ..errors import InputError, at_least
from ..files import make_writable
from ..pictures import fit_picture, read_picture, save_gallery, save_picture
from ..unclip.pipeline import Pipeline
from ..vision.vqa import STYLE_QUESTION as STYLE_QUESTION
from ..vision.vqa import BlipVqa
from .report import json_value, summarise, versions

COUNT = 8  # pictures of a concept, unless told otherwise


def learn(
    pipe: Pipeline,
    word: str,
    out: Path,
    negatives: Sequence[str] = (),
    config: LearnConfig | None = None,
    seed: int = 0,
    count: int = COUNT,
    vqa: str | Path = "menagerie",
    style: bool = False,
    settled: bool = False,
) -> dict[str, Any]:
    """Learn concepts of a word, or a `style`, and write them, `count` pictures of each, a gallery and a report into `out`.

    What they must not be is given as `negatives`; without any, a VQA finds it out on the way. A run that was cut off goes on from
    out/run.safetensors. `settled` makes each concept one thing (see `settle`), which is for things, not for styles. Raises InputError
    before any long work for bad input, and for a run in `out` with other settings.
    """
    at_least("seed", seed, 0)
    at_least("count", count, 1)
    check_text(pipe, "word", word)
    for each in negatives:
        check_text(pipe, "negatives", each)
    if style and settled:
        raise InputError("settled is True with a style; expected one of the two")
    make_writable("out", out)
    config = config or (STYLE_CONFIG if style else LearnConfig())
    asks = None if negatives else BlipVqa.load(vqa, pipe.device)
    clock = time.monotonic()
    result = learn_concept(
        pipe,
        word,
        negatives,
        config,
        seed,
        vqa=asks,
        question=STYLE_QUESTION if style else None,
        checkpoint=out / "run.safetensors",
        progress=True,
    )
    seconds = time.monotonic() - clock
    concept = (
        settle(pipe, word, result.concept, result.negatives, seed, progress=True)
        if settled
        else result.concept
    )
    concept.save(out)
    about = {
        "word": word,
        "seed": seed,
        "settings": asdict(config),
        "settled": settled,
        "steps": result.steps,
        "negatives": result.negatives,
        "history": [asdict(answer) for answer in result.history],
        "seconds": {"learn": round(seconds, 2)},
    }
    return show(pipe, concept, out, about, count, config.templates[0], seed)


def mix(
    pipe: Pipeline,
    parents: Sequence[str],
    out: Path,
    weights: Sequence[float] | None = None,
    word: str | None = None,
    config: MixConfig = MIX,
    seed: int = 0,
    count: int = COUNT,
) -> dict[str, Any]:
    """Learn a mixture of parents, each a concept's folder, a picture's file or a word, and write it as `learn` does.

    `word` is what the mixture begins as: by default the word of the first parent that has one. Of a folder with several concepts the first
    counts. Raises InputError before any long work.
    """
    at_least("seed", seed, 0)
    at_least("count", count, 1)
    if len(parents) < 2:
        raise InputError(f"parents is {list(parents)}; expected at least two")
    make_writable("out", out)
    found = [parent_of(pipe, each) for each in parents]
    start = word or next((each.word for each in found if isinstance(each, Concept)), None)
    if start is None:
        raise InputError(
            "word is None with pictures alone; expected the word of what the mixture shall be, such as 'pet'"
        )
    check_text(pipe, "word", start)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        rows = [
            picture_embeddings(pipe, each, generator=generator, config=config)[0]
            if isinstance(each, Concept)
            else pipe.encode_images(each).expand(config.each, -1)
            for each in found
        ]
    child = evolution.mix(
        pipe, start, torch.stack(rows)[None], weights, config, seed, progress=True
    )
    child.save(out)
    return show(
        pipe,
        child,
        out,
        {
            "parents": list(parents),
            "weights": weights,
            "word": start,
            "seed": seed,
            "settings": asdict(config),
        },
        count,
        config.templates[0],
        seed,
    )


def evolve(
    pipe: Pipeline,
    founders: Path,
    out: Path,
    config: MixConfig = MIX,
    seed: int = 0,
    count: int = COUNT,
) -> dict[str, Any]:
    """Let the concepts of a folder have children until one is left; write the family, its tree and pictures of the youngest.

    Every generation is kept in `out` as it is born, and a run that was cut off goes on from there. Raises InputError before any long work.
    """
    from ..notebook.plots import family_tree

    at_least("seed", seed, 0)
    at_least("count", count, 1)
    concept = load(founders, pipe)
    if len(concept) < 2:
        raise InputError(
            f"founders {str(founders)!r} holds 1 concept; expected a folder with at least two"
        )
    make_writable("out", out)
    family = Family.load(out, pipe) if (out / "family.json").is_file() else Family.of(concept)
    born = [member.concept for member in family.members[: len(concept)]]
    if any(
        each.kind != concept.kind or not torch.equal(value[i], each.tensors[name][0])
        for i, each in enumerate(born)
        for name, value in concept.tensors.items()
    ):
        raise InputError(
            f"out {str(out)!r} holds a family of other founders; expected another folder"
        )
    while len(family.last_generation()) > 1:
        family = next_generation(pipe, family, config, seed, progress=True)
        family.save(out)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        z = torch.cat(
            [
                member.concept.sample(
                    pipe, config.templates[0], 1, noise=generator, sampling=config.sampling
                )
                for member in family.members
            ]
        )
        portraits = pipe.decode(z, generator=generator)[:, 0]
    family_tree(portraits, [member.parents for member in family.members]).savefig(
        out / "family.png"
    )
    last = family.members[-1].concept
    last.save(out)
    about = {
        "founders": founders.name,
        "word": last.word,
        "seed": seed,
        "settings": asdict(config),
        "family": [
            {"parents": member.parents, "generation": member.generation}
            for member in family.members
        ],
    }
    return show(pipe, last, out, about, count, config.templates[0], seed)


def draw(
    pipe: Pipeline, folder: Path, prompt: str, out: Path, seed: int = 0, count: int = COUNT
) -> dict[str, Any]:
    """Draw learned concepts in a prompt with {} in their place. Raises InputError before any long work."""
    at_least("seed", seed, 0)
    at_least("count", count, 1)
    check_template(prompt)
    concept = load(folder, pipe)
    check_text(pipe, "prompt", prompt.replace("{}", concept.word))
    make_writable("out", out)
    return show(
        pipe,
        concept,
        out,
        {"prompt": prompt, "word": concept.word, "seed": seed},
        count,
        prompt,
        seed,
    )


def check_text(pipe: Pipeline, name: str, text: str) -> None:
    """Raise InputError for an empty text, one that is too long, and for the bundled model's, one with words it never saw."""
    if not text.strip():
        raise InputError(f"{name} is {text!r}; expected a text")
    pipe.token_ids([text])
    if pipe.has_truth and (unknown := pipe.unknown_words(text)):
        raise InputError(
            f"{name} is {text!r}, with words that {pipe.name} never saw: {', '.join(map(repr, unknown))}"
        )


def parent_of(pipe: Pipeline, name: str) -> "Concept | Float[Tensor, '1 3 h w']":
    """A concept's folder, a picture's file, or a word. Raises InputError for what is none of them."""
    path = Path(name)
    if path.is_dir():
        return load(path, pipe).select([0])
    if path.is_file():
        return picture_of("parents", path)[None]
    check_text(pipe, "parents", name)
    return TokenConcept.init(pipe, name)


def vary(
    shown: Sequence[Path],
    out: Path,
    semantica: str = "menagerie",
    seed: int = 0,
    count: int = COUNT,
    guidance: float = 1.0,
    steps: int = 20,
    device: str | None = None,
) -> None:
    """Draw variations of pictures that stand for one page; write them, and a gallery below what was shown. Raises InputError before any
    long work."""
    from ..semantica.model import Semantica

    at_least("seed", seed, 0)
    at_least("count", count, 1)
    if not shown:
        raise InputError("pictures is empty; expected at least one picture")
    pictures = [picture_of("pictures", file) for file in shown]
    model = Semantica.load(semantica, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    make_writable("out", out)
    side = model.encoder.preprocess.crop
    picture_embeddings = torch.cat([fit_picture(picture[None], side, side) for picture in pictures])
    with torch.no_grad():
        varied = model.vary(
            picture_embeddings[None],
            count,
            generator=torch.Generator().manual_seed(seed),
            guidance=guidance,
            steps=steps,
        )[0].cpu()
    for i, picture in enumerate(varied):
        save_picture(picture, out / f"variation-{i:0{1 + int(math.log10(count))}}.png")
    save_gallery({"shown": picture_embeddings, "varied": varied}, out / "gallery.png")


def picture_of(name: str, file: Path) -> Float[Tensor, "3 h w"]:
    """Read a picture. Raises InputError for what is none."""
    try:
        return read_picture(file)
    except OSError:
        raise InputError(f"{name} has {str(file)!r}, which cannot be read as a picture") from None


def show(
    pipe: Pipeline,
    concept: Concept,
    out: Path,
    about: dict[str, Any],
    count: int,
    template: str,
    seed: int,
) -> dict[str, Any]:
    """Draw each concept `count` times and write pictures, gallery and report; returns the report."""
    from ..world import CATEGORIES
    from ..world.oracle import Oracle

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        z = concept.sample(pipe, template, count, noise=generator)
        pictures = pipe.decode(z, generator=generator)
    rows = [
        {"file": f"concept-{i}-{j:0{1 + int(math.log10(count))}}.png", "concept": i}
        for i in range(len(concept))
        for j in range(count)
    ]
    for row, picture in zip(rows, pictures.flatten(0, 1), strict=True):
        save_picture(picture, out / row["file"])
    save_gallery({f"concept {i}": each for i, each in enumerate(pictures)}, out / "gallery.png")
    report = {
        **about,
        "template": template,
        "count": count,
        "model": {
            "name": pipe.name,
            "fingerprint": pipe.fingerprint,
            "revisions": dict(pipe.revisions),
            "device": str(pipe.device),
            "dtype": str(pipe.dtype).removeprefix("torch."),
        },
        "versions": versions(),
    }
    if pipe.has_truth and concept.word in [category.name for category in CATEGORIES]:
        judged = Oracle.load().judge(pictures.flatten(0, 1).cpu(), concept.word)
        for name in ("valid", "novel_in_form", "novel_in_surface", "log_prob"):
            for row, value in zip(rows, getattr(judged, name).tolist(), strict=True):
                row[name] = json_value(value)
        report["truth"] = summarise(
            [{name: value for name, value in row.items() if name != "concept"} for row in rows]
        )
    report["pictures"] = rows
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report

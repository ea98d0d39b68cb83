"""The work of the commands concept, mix, evolve, draw and vary.

Words and folders go in; pictures, a gallery, a report and concepts come out.
"""

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept, TokenConcept, load
from ..concept.token import check_known
from ..conceptlab import evolution
from ..conceptlab.evolution import (
    MIX,
    Family,
    MixConfig,
    check_weights,
    next_generation,
    picture_embeddings,
)
from ..conceptlab.learning import learn_concept
from ..conceptlab.settings import STYLE_CONFIG, LearnConfig
from ..conceptlab.settling import settle
from ..english import check_template, clean_text, clean_word, clean_words, fill
from ..errors import InputError, listed, whole, within
from ..files import make_writable
from ..pictures import fit_picture, read_picture, save_gallery, save_picture
from ..seeds import check_seed, seeded
from ..unclip.pipeline import Pipeline
from ..unclip.prior import GUIDANCE_RANGE
from ..vision.vqa import STYLE_QUESTION, BlipVqa
from .report import MOST_PICTURES, TRUTH, json_value, provenance, summarize

COUNT = 8  # pictures of a concept by default


def learn(
    pipe: Pipeline,
    word: str,
    out: str | Path,
    negatives: Sequence[str] = (),
    config: LearnConfig | None = None,
    seed: int = 0,
    count: int = COUNT,
    vqa: str | Path = "menagerie",
    style: bool = False,
    settled: bool = False,
) -> dict[str, Any]:
    """Learn concepts of a word and write them, pictures, a gallery and a report into `out`.

    negatives: different words that the concepts must not be; by default a VQA model finds some on
        the way.
    seed: 0 to 2**63 - 1.
    count: pictures of each concept, 1 to MOST_PICTURES.
    vqa: a folder or a hub's id of a BlipForQuestionAnswering, or "menagerie" for the bundled one.
    style: learn styles instead of things.
    settled: make each concept one thing, see `settle`; not possible for styles.

    An interrupted run resumes from out/run.safetensors. Raises InputError before any long work for
    bad input, and for a run in `out` with other settings.
    """
    out = Path(out)
    check_learning(word, negatives, seed, count, style=style, settled=settled)
    word = clean_word("word", word)
    negatives = clean_words("negatives", negatives)
    check_known(pipe, "word", word)
    for each in negatives:
        check_known(pipe, "negatives", each)
    make_writable("out", out)
    config = config or (STYLE_CONFIG if style else LearnConfig())
    model = None if negatives else BlipVqa.load(vqa, pipe.device)
    started = time.monotonic()
    result = learn_concept(
        pipe,
        word,
        negatives=negatives,
        config=config,
        seed=seed,
        vqa=model,
        question=STYLE_QUESTION if style else None,
        checkpoint=out / "run.safetensors",
        progress=True,
    )
    seconds = time.monotonic() - started
    concept = result.concept
    if settled:
        concept = settle(
            pipe,
            word,
            concept=concept,
            negatives=result.negatives,
            seed=seed,
            progress=True,
        )
    concept.save(out)
    facts = {
        "word": word,
        "seed": seed,
        "settings": asdict(config),
        "settled": settled,
        "steps": result.steps,
        "negatives": result.negatives,
        "history": [asdict(answer) for answer in result.history],
        "seconds": {"learn": round(seconds, 2)},
    }
    return show(
        pipe,
        concept,
        out,
        facts=facts,
        count=count,
        template=config.templates[0],
        seed=seed,
    )


def mix(
    pipe: Pipeline,
    parents: Sequence[str],
    out: str | Path,
    weights: Sequence[float] | None = None,
    word: str | None = None,
    config: MixConfig = MIX,
    seed: int = 0,
    count: int = COUNT,
) -> dict[str, Any]:
    """Learn a mixture of parents and write it as `learn` does.

    parents: each a learned concept's folder, a picture's file or a word. Of a folder with several
        concepts the first one counts.
    weights: how much each parent counts, relative to the others: they are divided by their sum. By
        default all count the same.
    word: the word that the mixture starts from; by default that of the first parent that has one.

    Raises InputError before any long work.
    """
    out = Path(out)
    check_mixing(parents, weights, word, seed, count)
    make_writable("out", out)
    found = [parent_of(pipe, each) for each in parents]
    start = word or next((each.word for each in found if isinstance(each, Concept)), None)
    if start is None:
        raise InputError(
            "word is None with pictures alone; expected the word of the mixture, such as 'pet'"
        )
    start = clean_word("word", start)
    check_known(pipe, "word", start)
    generator = seeded(seed)
    with torch.no_grad():
        rows = [
            picture_embeddings(pipe, each, generator=generator, config=config)[0]
            if isinstance(each, Concept)
            else pipe.encode_images(each).expand(config.each, -1)
            for each in found
        ]
    child = evolution.mix(
        pipe,
        start,
        parents=torch.stack(rows)[None],
        weights=weights,
        config=config,
        seed=seed,
        progress=True,
    )
    child.save(out)
    facts = {
        "parents": list(parents),
        "weights": weights,
        "word": start,
        "seed": seed,
        "settings": asdict(config),
    }
    return show(
        pipe,
        child,
        out,
        facts=facts,
        count=count,
        template=config.templates[0],
        seed=seed,
    )


def evolve(
    pipe: Pipeline,
    founders: str | Path,
    out: str | Path,
    config: MixConfig = MIX,
    seed: int = 0,
    count: int = COUNT,
) -> dict[str, Any]:
    """Mix the concepts of a folder, generation after generation, until one is left.

    The family, its tree and pictures of the youngest are written into `out`. Every generation is
    saved as it is born, and an interrupted run resumes from there. Raises InputError before any
    long work.
    """
    from ..notebook.plots import family_tree

    out = Path(out)
    check_numbers(seed, count)
    concept = load(founders, pipe)
    if len(concept) < 2:
        raise InputError(
            f"founders {str(founders)!r} holds 1 concept; expected a folder with at least two"
        )
    make_writable("out", out)
    family = Family.load(out, pipe) if (out / "family.json").is_file() else Family.of(concept)
    if not _has_founders(family, concept):
        raise InputError(
            f"out {str(out)!r} holds a family of other founders; expected another folder"
        )
    while len(family.last_generation()) > 1:
        family = next_generation(pipe, family, config=config, seed=seed, progress=True)
        family.save(out)
    generator = seeded(seed)
    with torch.no_grad():
        embeddings = [
            member.concept.sample(
                pipe, config.templates[0], n=1, noise=generator, sampling=config.sampling
            )
            for member in family.members
        ]
        portraits = pipe.decode(torch.cat(embeddings), generator=generator)[:, 0]
    tree = family_tree(portraits, [member.parents for member in family.members])
    tree.savefig(out / "family.png")
    last = family.members[-1].concept
    last.save(out)
    facts = {
        "founders": Path(founders).name,
        "word": last.word,
        "seed": seed,
        "settings": asdict(config),
        "family": [
            {"parents": member.parents, "generation": member.generation}
            for member in family.members
        ],
    }
    return show(
        pipe,
        last,
        out,
        facts=facts,
        count=count,
        template=config.templates[0],
        seed=seed,
    )


def draw(
    pipe: Pipeline,
    folder: str | Path,
    prompt: str,
    out: str | Path,
    seed: int = 0,
    count: int = COUNT,
) -> dict[str, Any]:
    """Draw learned concepts in a prompt with {} in their place, and write pictures as `learn` does.

    Raises InputError before any long work.
    """
    out = Path(out)
    check_numbers(seed, count)
    check_template(prompt)
    concept = load(folder, pipe)
    check_known(pipe, "prompt", fill(prompt, concept.word))
    make_writable("out", out)
    return show(
        pipe,
        concept,
        out,
        facts={"prompt": prompt, "word": concept.word, "seed": seed},
        count=count,
        template=prompt,
        seed=seed,
    )


def check_numbers(seed: int, count: int) -> None:
    """Raise InputError for a seed or a number of pictures out of range."""
    check_seed(seed)
    whole("count", count, 1, MOST_PICTURES)


def check_learning(
    word: str, negatives: Sequence[str], seed: int, count: int, *, style: bool, settled: bool
) -> None:
    """Raise InputError for what no model can learn, before one is loaded."""
    check_numbers(seed, count)
    clean_word("word", word)
    clean_words("negatives", negatives)
    if style and settled:
        raise InputError("settled is True with a style; expected False for styles")


def check_mixing(
    parents: Sequence[str], weights: Sequence[float] | None, word: str | None, seed: int, count: int
) -> None:
    """Raise InputError for what no model can mix, before one is loaded."""
    check_numbers(seed, count)
    if len(listed("parents", parents)) < 2:
        raise InputError(f"parents is {list(parents)}; expected at least two")
    for parent in parents:
        clean_text("parents", str(parent))
    if weights is not None:
        check_weights(weights, len(parents))
    if word is not None:
        clean_word("word", word)


def parent_of(pipe: Pipeline, name: str) -> "Concept | Float[Tensor, '1 3 h w']":
    """Read a parent of a mixture: a concept's folder, a picture's file, or a word.

    Raises InputError for a folder without a concept, another file, and a bad word.
    """
    # Unlike those of `Path`, these take a text that is too long for the name of a file.
    if os.path.isdir(name):
        return load(name, pipe).select([0])
    if os.path.isfile(name):
        return read_picture(name, "parents")[None]
    word = clean_word("parents", name)
    check_known(pipe, "parents", word)
    return TokenConcept.init(pipe, word)


def vary(
    shown: Sequence[str | Path],
    out: str | Path,
    semantica: str = "menagerie",
    seed: int = 0,
    count: int = COUNT,
    guidance: float = 1.0,
    steps: int = 20,
    device: str | None = None,
) -> None:
    """Draw variations of pictures of one page, and write them and a gallery into `out`.

    The gallery has the pictures that were shown above their variations. Raises InputError before
    any long work.
    """
    from ..semantica.model import Semantica

    out = Path(out)
    check_numbers(seed, count)
    within("guidance", guidance, *GUIDANCE_RANGE)
    whole("steps", steps, 1)
    pictures = [read_picture(file, "pictures") for file in listed("pictures", shown)]
    model = Semantica.load(semantica, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    make_writable("out", out)
    side = model.encoder.preprocess.crop
    squares = torch.cat([fit_picture(picture[None], side, side) for picture in pictures])
    with torch.no_grad():
        varied = model.vary(
            squares[None],
            count,
            generator=seeded(seed),
            guidance=guidance,
            steps=steps,
        )[0].cpu()
    for i, picture in enumerate(varied):
        save_picture(picture, out / f"variation-{_padded(i, count)}.png")
    save_gallery({"shown": squares, "varied": varied}, out / "gallery.png")


def show(
    pipe: Pipeline,
    concept: Concept,
    out: Path,
    facts: dict[str, Any],
    count: int,
    template: str,
    seed: int,
) -> dict[str, Any]:
    """Draw each concept `count` times, write pictures, gallery and report, and return the report.

    `facts` open the report.
    """
    from ..world import CATEGORIES
    from ..world.oracle import Oracle

    generator = seeded(seed)
    with torch.no_grad():
        z = concept.sample(pipe, template, count, noise=generator)
        pictures = pipe.decode(z, generator=generator)
    rows = [
        {"file": f"concept-{i}-{_padded(j, count)}.png", "concept": i}
        for i in range(len(concept))
        for j in range(count)
    ]
    for row, picture in zip(rows, pictures.flatten(0, 1), strict=True):
        save_picture(picture, out / row["file"])
    save_gallery({f"concept {i}": each for i, each in enumerate(pictures)}, out / "gallery.png")
    report = {
        **facts,
        "template": template,
        "count": count,
        **provenance(pipe),
    }
    if pipe.has_truth and concept.word in [category.name for category in CATEGORIES]:
        judgment = Oracle.load().judge(pictures.flatten(0, 1).cpu(), concept.word)
        for name in TRUTH:
            for row, value in zip(rows, getattr(judgment, name).tolist(), strict=True):
                row[name] = json_value(value)
        report["truth"] = summarize([{name: row[name] for name in TRUTH} for row in rows])
    report["pictures"] = rows
    (out / "report.json").write_text(
        json.dumps(report, indent=2) + "\n", encoding="utf-8", newline="\n"
    )
    return report


def _has_founders(family: Family, concept: Concept) -> bool:
    """Check that the first members of a family are these concepts."""
    founders = [member.concept for member in family.members[: len(concept)]]
    return all(
        founder.kind == concept.kind and torch.equal(value[i], founder.tensors[name][0])
        for i, founder in enumerate(founders)
        for name, value in concept.tensors.items()
    )


def _padded(index: int, count: int) -> str:
    """Pad an index with zeros so that the names of `count` files sort by index."""
    return f"{index:0{1 + int(math.log10(count))}}"

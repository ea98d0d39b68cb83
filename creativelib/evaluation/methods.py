"""The methods of the book's big table, and the door for one's own.

    rows = evaluate(my_method, ["pet", "fruit"], seeds=3, candidates=4)
    compare(results("evaluation"), rows)

A method draws n pictures of a category with a seed. Those of the table are in `METHODS`, each
without selection and with it: of `candidates` embeddings for each picture those are decoded whose
surprisal is nearest a target. A run is four concepts of four pictures for methods that learn
concepts, else 16 pictures.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .. import __version__
from ..errors import InputError, listed, one_of, whole
from ..seeds import seeded
from ..steering.pullback import nearest
from ..steering.settings import STEER_DEFAULTS
from ..steering.target import rarity_target
from ..unclip.pipeline import Pipeline
from ..world import CATEGORIES, category
from . import drafts
from .drafts import ADAPTIVE, CONCEPTS, MILD_GUIDANCE, TWO_NEGATIVES, Draft
from .protocol import Cell, Protocol, Row, run_protocol
from .rivals.boost import boost_and_skip
from .rivals.cads import condition_annealing
from .rivals.groups import group_inference
from .rivals.minority import minority_guidance
from .rivals.minority_prompt import minority_words
from .rivals.particles import particle_guidance, sparse_repellency
from .rivals.procreate import propulsion
from .samples import Samples, decoded
from .scores import FLOOR_SIZE, NEIGHBORS, score
from .workbench import Workbench

PICTURES = 16
SEEDS = 5
# Candidates for a picture in the table: of every method, and of those that are tried with more.
# With 16 pictures, 125 are the best 16 of 2,000.
SELECTED = 4
MORE = {"plain": (16, 125), "random parts": (16,)}
# Without selection only: one chooses by itself, the other asks 28 questions about each candidate.
ALONE = ("group inference", "adaptive negative prompt, 28 questions")

# (pipe, word, n, generator) -> n image embeddings, or embeddings with their pictures.
OwnMethod = Callable[[Pipeline, str, int, torch.Generator], "Tensor | Samples"]


@dataclass(frozen=True)
class Method:
    """A way to draw n pictures of a category with a seed."""

    # (bench, word, m, seed) -> m embeddings, and how they are decoded.
    draft: Callable[[Workbench, str, int, int], Draft]
    # What its rows depend on, beside the code: settings, or the hash of a reader's function.
    settings: Mapping[str, Any]
    # Embeddings drawn for each picture. Those nearest the dial's target are decoded.
    candidates: int = 1
    # Concepts that share the pictures of a run.
    groups: int = 1

    def draw(self, bench: Workbench, word: str, n: int, seed: int) -> Samples:
        """Draw n pictures. Of each concept's embeddings the nearest are chosen, else of all."""
        draft = self.draft(bench, word, n * self.candidates, seed)
        if self.candidates == 1:
            # Choosing would change nothing but the order.
            return draft.decode(draft.z)
        density = bench.density(word)
        target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
        return draft.decode(nearest(draft.z, density, target, n // self.groups))


def _with(draft: Callable[..., Draft], **settings: Any) -> Method:
    return Method(partial(draft, **settings), settings)


def _learned(learn: Callable[[Workbench, str, int], Any], settings: Mapping[str, Any]) -> Method:
    return Method(partial(drafts.of_concepts, learn=learn), settings, groups=CONCEPTS)


def _rival(draw: Callable[..., Tensor]) -> Method:
    return Method(partial(drafts.sampled, draw=draw), {})


# Each as it is usually run: steering chooses by itself, the others do not.
BASES: dict[str, Method] = {
    "plain": _with(drafts.plain_sampling),
    # The number of steps that most rivals from the literature take.
    "plain, 10 steps": _with(drafts.plain_sampling, steps=10),
    "guidance 4": _with(drafts.plain_sampling, guidance=4.0),
    "temperature 2": _with(drafts.plain_sampling, temperature=2.0),
    "negative prompt, prior": Method(drafts.against_on_prior, {"on": "prior"}),
    "negative prompt, decoder": Method(drafts.against_on_decoder, {"on": "decoder"}),
    "random parts": _with(drafts.parts),
    "random mix": _with(drafts.mixtures),
    "adaptive negative prompt": Method(drafts.asking, {"guidance": MILD_GUIDANCE}),
    "rarity guidance": Method(drafts.guided, {"dial": STEER_DEFAULTS.dial}),
    "rarity steering": Method(
        draft=drafts.steered,
        settings={k: v for k, v in asdict(STEER_DEFAULTS).items() if k != "candidates"},
        candidates=STEER_DEFAULTS.candidates,
        groups=CONCEPTS,
    ),
    "ConceptLab, two negatives": _learned(drafts.two_negatives, asdict(TWO_NEGATIVES)),
    "ConceptLab, adaptive": _learned(drafts.adaptive, asdict(ADAPTIVE)),
    "ConceptLab, settled": _learned(drafts.settled, asdict(ADAPTIVE)),
    "CADS": _rival(condition_annealing),
    "particle guidance": _rival(particle_guidance),
    "SPELL": _rival(sparse_repellency),
    "ProCreate": _rival(propulsion),
    "group inference": _rival(group_inference),
    "Boost-and-Skip": _rival(boost_and_skip),
    "minority guidance": _rival(minority_guidance),
    "MinorityPrompt": _rival(minority_words),
    "adaptive negative prompt, 28 questions": Method(drafts.asking_often, {}),
}


def variant(name: str, candidates: int, usual: int = 1) -> str:
    """Name a method with another number of candidates than it usually has.

    >>> variant("plain", 4), variant("plain", 1), variant("rarity steering", 1, usual=4)
    ('plain, best of 4', 'plain', 'rarity steering, one candidate')
    """
    if candidates == usual:
        return name
    return f"{name}, one candidate" if candidates == 1 else f"{name}, best of {candidates}"


def family(name: str, method: Method) -> dict[str, Method]:
    """Return a method without selection, with it, and with more candidates, by their names."""
    counts = (1,) if name in ALONE else (1, SELECTED, *MORE.get(name, ()))
    return {variant(name, c, method.candidates): replace(method, candidates=c) for c in counts}


METHODS: dict[str, Method] = {
    title: member
    for name, method in BASES.items()
    for title, member in family(name, method).items()
}


def own_method(
    draw: OwnMethod, settings: Mapping[str, Any] | None = None, candidates: int = 1
) -> Method:
    """Turn a function (pipe, word, n, generator) -> embeddings (n, d) or `Samples` into a method.

    Its rows are identified by its settings and the hash of its source, where Python knows that.
    With candidates it has to return embeddings: what is decoded already cannot be chosen first.
    """
    try:
        source = inspect.getsource(draw)
    except (OSError, TypeError):
        source = getattr(draw, "__qualname__", type(draw).__qualname__)
    known = {"source": hashlib.sha256(source.encode()).hexdigest()[:12], **(settings or {})}

    def draft(bench: Workbench, word: str, m: int, seed: int) -> Draft:
        found = draw(bench.pipe, word, m, seeded(seed))
        z = found.z if isinstance(found, Samples) else found
        early = isinstance(found, Samples) and candidates > 1
        width = bench.pipe.prior.config.embedding_dim
        if early or not isinstance(z, Tensor) or z.shape != (m, width):
            shape = tuple(z.shape) if isinstance(z, Tensor) and not early else type(found).__name__
            allowed = ", or Samples" if candidates == 1 else f" for {candidates} candidates"
            raise InputError(
                f"method {getattr(draw, '__name__', draw)!r} returned {shape}; expected "
                f"embeddings of shape ({m}, {width}){allowed}"
            )
        if isinstance(found, Samples):
            return Draft(z[None], lambda _: found)
        return Draft(z[None], partial(decoded, bench.pipe, generator=seeded(seed + 1)))

    return Method(draft, known, candidates)


def measure(bench: Workbench, method: Method, cell: Cell) -> dict[str, Any]:
    """Score one run of a method.

    Seconds and evaluations are those of everything that is done for it alone, learning included,
    but not of what belongs to the category, such as the density. An evaluation is one row of a
    batch through the prior or the decoder's denoiser; with guidance a sample is two rows. "seen"
    holds the judge's embeddings of its pictures, from which figures of larger sets are made.
    """
    word = cell.category
    reference = bench.reference(word)
    before = bench.spent()
    drawn = method.draw(bench, word, cell.pictures, cell.seed)
    cost = bench.spent() - before
    figures = score(drawn, reference, bench.pipe, bench.judge, bench.oracle)
    embeddings = bench.judge.encode_images(drawn.pictures)
    second = bench.second_oracle.judge(drawn.pictures, word)
    both = (second.valid & second.novel_in_form).float().mean().item()
    return figures | {
        "second oracle: valid and novel": both,
        "candidates": method.candidates,
        "seconds a picture": cost.seconds / cell.pictures,
        "prior evaluations a picture": cost.prior / cell.pictures,
        "decoder evaluations a picture": cost.decoder / cell.pictures,
        "seen": [[round(value, 4) for value in row] for row in embeddings.tolist()],
    }


def identity(bench: Workbench, method: Method) -> dict[str, Any]:
    """Return what a method's rows depend on: model, version, settings and selection."""
    return {
        "model": bench.pipe.fingerprint[:12],
        "version": __version__,
        "settings": dict(method.settings),
        "candidates": method.candidates,
    }


def evaluate(
    method: OwnMethod | str,
    categories: str | Sequence[str],
    seeds: int = SEEDS,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    candidates: int | None = None,
    pictures: int = PICTURES,
    file: str | Path | None = None,
    bench: Workbench | None = None,
    progress: bool = False,
) -> list[Row]:
    """Evaluate a method as the book's big table does; return one row for each category and seed.

    method: a function (pipe, word, n, generator) -> n image embeddings or `Samples`; or a name of
        `METHODS`.
    categories: of the Menagerie; one, or a list.
    seeds: how many.
    name: of the method in the table; by default the function's, with the number of candidates if
        it is not the method's own.
    settings: recorded with every row. A row with other settings, code or model is measured anew.
    candidates: embeddings drawn for each picture. Those nearest the target of steering's usual dial
        are decoded, n in all, or for methods that learn concepts a share of n of each concept. By
        default a named method's own number, and 1 for a function, which is no selection.
    pictures: of each run.
    file: keeps the rows. With it a run that was cut off resumes, and more categories or seeds
        continue from the finished file.
    bench: what makes and judges; by default the bundled models.

    Raises InputError for an unknown method or category, a method that returns something else, and
    a number of candidates or pictures that cannot be, before anything is drawn.
    """
    if pictures not in range(NEIGHBORS + 1, FLOOR_SIZE + 1):
        raise InputError(f"pictures is {pictures}; expected {NEIGHBORS + 1} to {FLOOR_SIZE}")
    if candidates is not None:
        candidates = whole("candidates", candidates, 1)
    if isinstance(method, str):
        one_of("method", method, METHODS)
        own = METHODS[method]
        chosen = replace(own, candidates=candidates or own.candidates)
        title = variant(method, chosen.candidates, own.candidates)
    else:
        chosen = own_method(method, settings, candidates or 1)
        title = variant(getattr(method, "__name__", type(method).__name__), chosen.candidates)
    if pictures % chosen.groups:
        raise InputError(
            f"pictures is {pictures}; expected a multiple of {chosen.groups}, the concepts that "
            f"{method!r} learns"
        )
    words = (categories,) if isinstance(categories, str) else listed("categories", categories)
    for word in words:
        category(word)
    protocol = Protocol((name or title,), words, seeds, pictures)
    bench = bench or Workbench.load()

    def make(cell: Cell) -> dict[str, Any]:
        row = measure(bench, chosen, cell)
        return {key: value for key, value in row.items() if key != "seen"}

    with torch.no_grad():
        rows = run_protocol(protocol, make, file, identity=lambda cell: identity(bench, chosen))
        total = len(protocol.cells())
        return list(tqdm(rows, total=total, desc=name or title, disable=not progress))


ALL_CATEGORIES = tuple(kind.name for kind in CATEGORIES)
FULL = Protocol(tuple(METHODS), ALL_CATEGORIES, seeds=SEEDS, pictures=PICTURES)

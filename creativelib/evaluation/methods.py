"""The methods of the book's big table, and the door for one's own.

    rows = evaluate(my_method, ["pet", "fruit"], seeds=3)
    compare(results("evaluation"), rows)

A method draws n pictures of a category with a seed. The thirteen of the table are in `METHODS`. A
run is four concepts of four pictures for methods that learn concepts, else 16 pictures.
"""

import hashlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from .. import __version__
from ..concept import Concept
from ..concept.kinds import check_kind
from ..conceptlab.learning import learn_concept
from ..conceptlab.settings import LEARN_DEFAULTS, LearnConfig
from ..conceptlab.settling import settle
from ..conceptlab.state import LearnResult
from ..density import Density
from ..errors import InputError, listed, one_of
from ..seeds import seeded
from ..sharing import normal_tensors
from ..steering.guidance import split_prior
from ..steering.pullback import draw_rare
from ..steering.recipe import steer
from ..steering.settings import STEER_DEFAULTS
from ..steering.target import rarity_target
from ..unclip.pipeline import Pipeline, load
from ..vision.judge import Judge
from ..vision.vqa import BlipVqa, Vqa
from ..world import CATEGORIES, category
from ..world.oracle import Oracle
from .baselines import (
    TEMPLATE,
    Samples,
    adaptive_negatives,
    negative_prompt,
    photo,
    prompt_only,
    random_mix,
    random_parts,
)
from .protocol import Cell, Protocol, Row, run_protocol
from .scores import FLOOR_SIZE, NEIGHBORS, Reference, score

PICTURES = 16
SEEDS = 5
CONCEPTS = STEER_DEFAULTS.concepts
TWO_NEGATIVES = LearnConfig(concepts=CONCEPTS, steps=150)
# 240 steps instead of 600, or learning would take most of the table's time.
ADAPTIVE = replace(LEARN_DEFAULTS, concepts=CONCEPTS, steps=240)
# Guidance of adaptive negative prompts. With negative prompts' 4 hardly a picture is valid.
MILD_GUIDANCE = 2.0
# Categories and runs that a workbench remembers.
CACHED = 64

# (pipe, word, n, generator) -> n image embeddings, or embeddings with their pictures.
OwnMethod = Callable[[Pipeline, str, int, torch.Generator], "Tensor | Samples"]


def negative_pairs(word: str) -> list[tuple[str, str]]:
    """List three pairs of manual negatives: a category's first six species, in its order."""
    names = list(category(word).species)
    return [(names[i], names[i + 1]) for i in (0, 2, 4)]


def negative_pair(word: str, seed: int) -> list[str]:
    """Choose two manual negatives for a seed, as ConceptLab's protocol does."""
    return list(negative_pairs(word)[seed % 3])


@dataclass(frozen=True, eq=False)
class Learned:
    """A ConceptLab result and the seconds it took."""

    result: LearnResult
    seconds: float


class Workbench:
    """What makes and what judges, loaded once. What belongs to a category is made once, too."""

    def __init__(
        self, pipe: Pipeline, judge: Judge, oracle: Oracle, second_oracle: Oracle, vqa: Vqa
    ) -> None:
        self.pipe = pipe
        self.judge = judge
        self.oracle = oracle
        self.second_oracle = second_oracle
        self.vqa = vqa
        self.reference = lru_cache(CACHED)(self._reference)
        self.adaptive = lru_cache(CACHED)(self._adaptive)

    @classmethod
    def load(cls, model: str | Path = "menagerie", device: str = "cpu") -> "Workbench":
        """Load the bundled models and judges."""
        return cls(
            pipe=load(model, device),
            judge=Judge.load(),
            oracle=Oracle.load(),
            second_oracle=Oracle.load("mix"),
            vqa=BlipVqa.load(),
        )

    def density(self, word: str) -> Density:
        """Return what is typical of a category, as its reference has it."""
        return self.reference(word).density

    @normal_tensors()
    def _reference(self, word: str) -> Reference:
        return Reference.of(self.pipe, self.judge, word)

    @normal_tensors()
    def _adaptive(self, word: str, seed: int) -> Learned:
        clock = time.monotonic()
        result = learn_concept(self.pipe, word, config=ADAPTIVE, seed=100 * seed, vqa=self.vqa)
        return Learned(result, time.monotonic() - clock)

    def decode(self, z: Float[Tensor, "n d"], seed: int) -> Samples:
        """Decode embeddings with a seed."""
        return Samples(z, self.pipe.decode(z[None], generator=seeded(seed))[0])

    def draw(self, concept: Concept, n: int, seed: int) -> Samples:
        """Draw n pictures of k concepts, n / k of each."""
        z = concept.sample(self.pipe, TEMPLATE, n // len(concept), noise=seeded(seed))
        return self.decode(z.flatten(0, 1), seed + 1)


@dataclass(frozen=True)
class Method:
    """A way to draw n pictures of a category with a seed."""

    draw: Callable[[Workbench, str, int, int], Samples]
    # What its rows depend on, beside the code: settings, or the hash of a reader's function.
    settings: Mapping[str, Any]


def plain_sampling(bench: Workbench, word: str, n: int, seed: int, **settings: float) -> Samples:
    """Draw from the prompt alone."""
    return prompt_only(bench.pipe, word, n, generator=seeded(seed), **settings)


def negatives_on(bench: Workbench, word: str, n: int, seed: int, on: str) -> Samples:
    """Draw with a negative prompt of two species."""
    negatives = negative_pair(word, seed)
    return negative_prompt(bench.pipe, word, negatives, n, generator=seeded(seed), on=on)


def parts(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Draw from prompts that name random parts."""
    return random_parts(bench.pipe, word, n, generator=seeded(seed))


def mixtures(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Draw between random species."""
    species = list(category(word).species)
    return random_mix(bench.pipe, species, n, generator=seeded(seed))


def asking(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Draw with negative prompts that a VQA finds on the way."""
    return adaptive_negatives(
        bench.pipe, bench.vqa, word, n, generator=seeded(seed), guidance=MILD_GUIDANCE
    )


def steered(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Steer concepts with the semantic check and draw rare samples of them."""
    density = bench.density(word)
    template = photo(word).replace(word, "{}")
    result = steer(
        bench.pipe, word, density, STEER_DEFAULTS, seed=seed, template=template, vqa=bench.vqa
    )
    z = draw_rare(
        bench.pipe,
        result.concept,
        density,
        result.target.surprisal,
        n // CONCEPTS,
        template,
        generator=seeded(seed),
    )
    return bench.decode(z.flatten(0, 1), seed + 1)


def guided(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Guide the prior to rare samples by splitting."""
    density = bench.density(word)
    cond = bench.pipe.encode_text([photo(word)])
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    z = split_prior(bench.pipe, cond, n, density, target, generator=seeded(seed))
    return bench.decode(z[0], seed + 1)


def against_two(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Learn concepts with two manual negatives."""
    negatives = negative_pair(word, seed)
    result = learn_concept(bench.pipe, word, negatives, TWO_NEGATIVES, seed=100 * seed)
    return bench.draw(result.concept, n, seed)


def adaptive(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Learn concepts with adaptive negatives."""
    return bench.draw(bench.adaptive(word, seed).result.concept, n, seed)


def settled(bench: Workbench, word: str, n: int, seed: int) -> Samples:
    """Settle the concepts that were learned with adaptive negatives."""
    check_kind("lora")
    result = bench.adaptive(word, seed).result
    concept = settle(bench.pipe, word, result.concept, result.negatives, seed=100 * seed)
    return bench.draw(concept, n, seed)


def _with(draw: Callable[..., Samples], **settings: Any) -> Method:
    def drawn(bench: Workbench, word: str, n: int, seed: int) -> Samples:
        return draw(bench, word, n, seed, **settings)

    return Method(drawn, settings)


METHODS: dict[str, Method] = {
    "plain": _with(plain_sampling),
    "guidance 4": _with(plain_sampling, guidance=4.0),
    "temperature 2": _with(plain_sampling, temperature=2.0),
    "negative prompt, prior": _with(negatives_on, on="prior"),
    "negative prompt, decoder": _with(negatives_on, on="decoder"),
    "random parts": _with(parts),
    "random mix": _with(mixtures),
    "adaptive negative prompt": Method(asking, {"guidance": MILD_GUIDANCE}),
    "rarity guidance": Method(guided, {"dial": STEER_DEFAULTS.dial}),
    "rarity steering": Method(steered, asdict(STEER_DEFAULTS)),
    "ConceptLab, two negatives": Method(against_two, asdict(TWO_NEGATIVES)),
    "ConceptLab, adaptive": Method(adaptive, asdict(ADAPTIVE)),
    "ConceptLab, settled": Method(settled, asdict(ADAPTIVE)),
}
# Methods whose learning is timed once, since both draw from the same concepts.
SHARED_LEARNING = ("ConceptLab, adaptive", "ConceptLab, settled")


def own_method(draw: OwnMethod, settings: Mapping[str, Any] | None = None) -> Method:
    """Turn a function (pipe, word, n, generator) -> embeddings (n, d) or `Samples` into a method.

    Its rows are identified by its settings and the hash of its source, where Python knows that.
    """
    try:
        source = inspect.getsource(draw)
    except (OSError, TypeError):
        source = getattr(draw, "__qualname__", type(draw).__qualname__)
    known = {"source": hashlib.sha256(source.encode()).hexdigest()[:12], **(settings or {})}

    def drawn(bench: Workbench, word: str, n: int, seed: int) -> Samples:
        found = draw(bench.pipe, word, n, seeded(seed))
        samples = found if isinstance(found, Samples) else None
        z = samples.z if samples else found
        width = bench.pipe.prior.config.embedding_dim
        if not isinstance(z, Tensor) or z.shape != (n, width):
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise InputError(
                f"method {getattr(draw, '__name__', draw)!r} returned {shape}; expected "
                f"embeddings of shape ({n}, {width}), or Samples"
            )
        return samples or bench.decode(z, seed + 1)

    return Method(drawn, known)


def measure(bench: Workbench, method: Method, cell: Cell) -> dict[str, Any]:
    """Score one run of a method.

    Its seconds are those of everything that is done for it alone, learning included, but not of
    what belongs to the category, such as the density. "seen" holds the judge's embeddings of its
    pictures, from which figures of larger sets are made.
    """
    word = cell.category
    # It belongs to no run.
    reference = bench.reference(word)
    learning = 0.0
    if cell.method in SHARED_LEARNING:
        learning = bench.adaptive(word, cell.seed).seconds
    clock = time.monotonic()
    drawn = method.draw(bench, word, cell.pictures, cell.seed)
    seconds = time.monotonic() - clock + learning
    figures = score(drawn, reference, bench.pipe, bench.judge, bench.oracle)
    embeddings = bench.judge.encode_images(drawn.pictures)
    second = bench.second_oracle.judge(drawn.pictures, word)
    both = (second.valid & second.novel_in_form).float().mean().item()
    return figures | {
        "second oracle: valid and novel": both,
        "seconds a picture": seconds / cell.pictures,
        "seen": [[round(value, 4) for value in row] for row in embeddings.tolist()],
    }


def identity(bench: Workbench, method: Method) -> dict[str, Any]:
    """Return what a method's rows depend on: model, version and settings."""
    return {
        "model": bench.pipe.fingerprint[:12],
        "version": __version__,
        "settings": dict(method.settings),
    }


def evaluate(
    method: OwnMethod | str,
    categories: str | Sequence[str],
    seeds: int = SEEDS,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
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
    name: of the method in the table; by default the function's.
    settings: recorded with every row. A row with other settings, code or model is measured anew.
    pictures: of each run.
    file: keeps the rows. With it a run that was cut off resumes, and more categories or seeds
        continue from the finished file.
    bench: what makes and judges; by default the bundled models.

    Raises InputError for an unknown method or category, a method that returns something else, and
    a number of pictures that the figures do not allow, before anything is drawn.
    """
    if pictures not in range(NEIGHBORS + 1, FLOOR_SIZE + 1):
        raise InputError(f"pictures is {pictures}; expected {NEIGHBORS + 1} to {FLOOR_SIZE}")
    if isinstance(method, str):
        one_of("method", method, METHODS)
        chosen = METHODS[method]
        title = name or method
    else:
        chosen = own_method(method, settings)
        title = name or getattr(method, "__name__", type(method).__name__)
    words = (categories,) if isinstance(categories, str) else listed("categories", categories)
    for word in words:
        category(word)
    protocol = Protocol((title,), words, seeds, pictures)
    bench = bench or Workbench.load()

    def make(cell: Cell) -> dict[str, Any]:
        row = measure(bench, chosen, cell)
        return {key: value for key, value in row.items() if key != "seen"}

    with torch.no_grad():
        rows = run_protocol(protocol, make, file, identity=lambda cell: identity(bench, chosen))
        total = len(protocol.cells())
        return list(tqdm(rows, total=total, desc=title, disable=not progress))


ALL_CATEGORIES = tuple(kind.name for kind in CATEGORIES)
FULL = Protocol(tuple(METHODS), ALL_CATEGORIES, seeds=SEEDS, pictures=PICTURES)

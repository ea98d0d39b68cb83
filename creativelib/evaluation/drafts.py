"""The methods of the big table as drafts: embeddings, and how those that are chosen are decoded.

Each function draws m embeddings of a category with a seed. Selection stands between the two, in
`methods.Method`, for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..concept import Concept
from ..concept.kinds import check_kind
from ..conceptlab.learning import learn_concept
from ..conceptlab.settings import LEARN_DEFAULTS, LearnConfig
from ..conceptlab.settling import TEMPLATES, settle, template_offsets
from ..conceptlab.state import LearnResult
from ..seeds import seeded
from ..steering.guidance import split_prior
from ..steering.pullback import pull_back
from ..steering.recipe import steer
from ..steering.result import SteerResult
from ..steering.settings import STEER_DEFAULTS
from ..steering.target import rarity_target
from ..world import category
from .baselines import (
    TEMPLATE,
    decode_away,
    photo,
    sample_adaptive,
    sample_away,
    sample_mix,
    sample_parts,
    sample_prompt,
)
from .rivals.asking import questions_at_each_step
from .samples import Samples, decoded
from .workbench import Workbench

CONCEPTS = STEER_DEFAULTS.concepts
TWO_NEGATIVES = LearnConfig(concepts=CONCEPTS, steps=150)
# 240 steps instead of 600, or learning would take most of the table's time.
ADAPTIVE = replace(LEARN_DEFAULTS, concepts=CONCEPTS, steps=240)
# Guidance of adaptive negative prompts. With negative prompts' 4 hardly a picture is valid.
MILD_GUIDANCE = 2.0


@dataclass(frozen=True, eq=False)
class Draft:
    """Embeddings that nobody has decoded yet, in a group for each concept, else in one group."""

    z: Float[Tensor, "k m d"]
    # Makes samples of those that were chosen, n of each group.
    decode: Callable[[Float[Tensor, "k n d"]], Samples]


def negative_pairs(word: str) -> list[tuple[str, str]]:
    """List three pairs of manual negatives: a category's first six species, in its order."""
    names = list(category(word).species)
    return [(names[i], names[i + 1]) for i in (0, 2, 4)]


def negative_pair(word: str, seed: int) -> list[str]:
    """Choose two manual negatives for a seed, as ConceptLab's protocol does."""
    return list(negative_pairs(word)[seed % 3])


def plain_sampling(bench: Workbench, word: str, m: int, seed: int, **settings: Any) -> Draft:
    """Draw from the prompt alone."""
    generator = seeded(seed)
    z = sample_prompt(bench.pipe, word, m, generator=generator, **settings)
    return _plainly_decoded(bench, z[None], generator)


def against_on_prior(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw with a negative prompt of two species on the prior."""
    generator = seeded(seed)
    z = sample_away(bench.pipe, word, negative_pair(word, seed), m, generator=generator)
    return _plainly_decoded(bench, z[None], generator)


def against_on_decoder(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw with a negative prompt of two species on the decoder.

    What is chosen are the plain prompt's embeddings: how far a negative leads a picture away from
    its embedding shows only once it is decoded. The negatives are drawn afterwards, for the chosen
    alone.
    """
    generator = seeded(seed)
    z = sample_prompt(bench.pipe, word, m, generator=generator)

    def decode(z: Float[Tensor, "k n d"]) -> Samples:
        return decode_away(
            bench.pipe, z.flatten(0, 1), negative_pair(word, seed), generator=generator
        )

    return Draft(z[None], decode)


def parts(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw from prompts that name random parts."""
    generator = seeded(seed)
    z = sample_parts(bench.pipe, word, m, generator=generator)
    return _plainly_decoded(bench, z[None], generator)


def mixtures(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw between random species."""
    generator = seeded(seed)
    z = sample_mix(bench.pipe, list(category(word).species), m, generator=generator)
    return _plainly_decoded(bench, z[None], generator)


def sampled(
    bench: Workbench, word: str, m: int, seed: int, *, draw: Callable[..., Float[Tensor, "m d"]]
) -> Draft:
    """Draw as a function of `rivals` does."""
    generator = seeded(seed)
    z = draw(bench.pipe, word, m, generator=generator)
    return _plainly_decoded(bench, z[None], generator)


def asking_often(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw with a question at each step. As in `asking`, each candidate is asked about."""
    generator = seeded(seed)
    z = questions_at_each_step(bench.pipe, bench.vqa, word, m, generator=generator)
    return _plainly_decoded(bench, z[None], generator)


def asking(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw with negative prompts that a VQA finds on the way.

    The embeddings are those at the end of the way, so each candidate has pictures and questions of
    its own on it, which count: this method cannot choose before it has decoded.
    """
    generator = seeded(seed)
    z = sample_adaptive(bench.pipe, bench.vqa, word, m, generator=generator, guidance=MILD_GUIDANCE)
    return _plainly_decoded(bench, z[None], generator)


def guided(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Guide the prior to rare samples by splitting."""
    density = bench.density(word)
    cond = bench.pipe.encode_text([photo(word)])
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    z = split_prior(bench.pipe, cond, m, density, target, generator=seeded(seed))
    return _plainly_decoded(bench, z, seeded(seed + 1))


def steered(bench: Workbench, word: str, m: int, seed: int) -> Draft:
    """Draw rare samples of steered concepts, as `draw_rare` does."""
    template = _template(word)
    concept = bench.learned(steering, word, seed).concept
    generator = seeded(seed)
    sampling = STEER_DEFAULTS.sampling
    each = m // len(concept)
    z = concept.sample(bench.pipe, template, each, noise=generator, sampling=sampling)

    def decode(z: Float[Tensor, "k n d"]) -> Samples:
        near = pull_back(bench.pipe, concept, z, template, generator=generator)
        return decoded(bench.pipe, near, generator=seeded(seed + 1))

    return Draft(z, decode)


def steering(bench: Workbench, word: str, seed: int) -> SteerResult:
    """Steer concepts with the semantic check."""
    return steer(
        bench.pipe,
        word,
        bench.density(word),
        STEER_DEFAULTS,
        seed=seed,
        template=_template(word),
        vqa=bench.vqa,
    )


def of_concepts(
    bench: Workbench,
    word: str,
    m: int,
    seed: int,
    *,
    learn: Callable[[Workbench, str, int], LearnResult | Concept],
) -> Draft:
    """Draw m embeddings of the concepts that a function learns."""
    result = bench.learned(learn, word, seed)
    concept = result if isinstance(result, Concept) else result.concept
    z = concept.sample(bench.pipe, TEMPLATE, m // len(concept), noise=seeded(seed))
    return _plainly_decoded(bench, z, seeded(seed + 1))


def two_negatives(bench: Workbench, word: str, seed: int) -> LearnResult:
    """Learn concepts with two manual negatives."""
    negatives = negative_pair(word, seed)
    return learn_concept(bench.pipe, word, negatives, TWO_NEGATIVES, seed=100 * seed)


def adaptive(bench: Workbench, word: str, seed: int) -> LearnResult:
    """Learn concepts with adaptive negatives."""
    return learn_concept(bench.pipe, word, config=ADAPTIVE, seed=100 * seed, vqa=bench.vqa)


def settled(bench: Workbench, word: str, seed: int) -> Concept:
    """Settle the concepts that were learned with adaptive negatives."""
    check_kind("lora")
    result = bench.learned(adaptive, word, seed)
    # Settling remembers them for all runs of a category.
    with bench.free():
        template_offsets(bench.pipe, word, TEMPLATES)
    return settle(bench.pipe, word, result.concept, result.negatives, seed=100 * seed)


def _template(word: str) -> str:
    return photo(word).replace(word, "{}")


def _plainly_decoded(
    bench: Workbench, z: Float[Tensor, "k m d"], generator: torch.Generator
) -> Draft:
    return Draft(z, partial(decoded, bench.pipe, generator=generator))

"""Run ConceptLab's own protocol (arXiv 2308.02669, section 5) and measure what is true of it.

    python -m benchmarks.conceptlab.runs [PART ...]

Parts: main, adaptive, ablation, weight, mix. All run by default, and each publishes results of its
own; see `benchmarks.judges.run`. Similarities are those of the judge, a CLIP that nothing was
optimized against. The world's oracle says which pictures are valid, new, or one of the negatives.
Intervals draw categories anew and concepts within them.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from benchmarks.conceptlab.summaries import FIGURES, WEIGHTS
from benchmarks.judges import Judges, decode, named, run, seeded
from creativelib.concept import Concept, TokenConcept
from creativelib.conceptlab.answers import fits_context
from creativelib.conceptlab.constraints import TextEmbeddings
from creativelib.conceptlab.evolution import mix, picture_embeddings
from creativelib.conceptlab.learning import iter_learn, learn_concept
from creativelib.conceptlab.settings import LEARN_DEFAULTS, LearnConfig
from creativelib.conceptlab.settling import settle
from creativelib.english import article
from creativelib.evaluation.baselines import naming_parts
from creativelib.evaluation.drafts import negative_pairs
from creativelib.unclip.prior import PriorSampling
from creativelib.world import captions, category, styles, truth

CATEGORIES = ("pet", "plant", "fruit", "furniture", "musical instrument")
SEEDS = 5
EACH = 32
PLAIN = "a photo of a {}"
TEMPLATES = (PLAIN, "a picture of a {}", "a pencil sketch of a {}", "a watercolor painting of a {}")
SHARE = EACH // len(TEMPLATES)  # pictures of a template, where agreement over templates is measured
MANUAL = LearnConfig(concepts=SEEDS, steps=150)
GUIDANCE = 4.0  # of negative prompting, as in the paper for the prior


def measure(
    judges: Judges,
    name: str,
    pictures: Float[Tensor, "g n 3 h w"],
    negatives: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Judge g groups of n pictures, each group with its own negatives.

    Each column is a list over groups of lists over pictures. Columns that compare with negatives
    are empty if no group has any.
    """
    kind = category(name)
    flat = pictures.flatten(0, 1)
    shape = pictures.shape[:2]
    judgement = judges.oracle.judge(flat, name)
    count = len(kind.factors)
    value = judgement.reading.factors[:, :count].argmax(2)
    visible = torch.ones(len(flat), count, dtype=torch.bool)
    visible[:, -1] = styles.color_visible(judgement.reading.scenes().style)
    departures = judgement.departures.view(*shape, -1)
    embeddings = judges.judge.encode_images(flat).view(*shape, -1)
    names = list(kind.species)
    positive = embeddings @ judges.judge.encode_text([PLAIN.format(name)])[0]
    largest = []
    match = []
    same = []
    for i, words in enumerate(negatives if any(negatives) else ()):
        columns = [names.index(word) for word in words if word in names]
        texts = judges.judge.encode_text([PLAIN.format(word) for word in words])
        largest.append((embeddings[i] @ texts.T).amax(1).tolist())
        parts_apart = departures[i][:, columns]
        match.append((parts_apart <= 1).any(1).float().tolist())
        same.append((parts_apart == 0).any(1).float().tolist())
    shares = {
        "valid": judgement.valid.float(),
        "form": judgement.novel_in_form.float(),
        "both": (judgement.valid & judgement.novel_in_form).float(),
        "positive": positive,
    }
    rows = {column: values.view(shape).tolist() for column, values in shares.items()}
    return rows | {
        "largest": largest,
        "match": match,
        "same": same,
        "factors": value.view(*shape, -1).tolist(),
        "visible": visible.view(*shape, -1).tolist(),
    }


def drawn(
    judges: Judges, concept: Concept, n: int, template: str = PLAIN, seed: int = 1
) -> Float[Tensor, "k n 3 h w"]:
    """Draw n pictures of each concept."""
    z = concept.sample(judges.pipe, template, n, noise=seeded(seed))
    return decode(judges.pipe, z, seed + 1)


def one_thing(
    judges: Judges, name: str, concept: Concept, plain: Float[Tensor, "k n 3 h w"]
) -> dict[str, Any]:
    """Read the factors of 32 pictures of each concept: eight seeds in each of four templates."""
    others = [
        drawn(judges, concept, SHARE, template=template, seed=10 + i)
        for i, template in enumerate(TEMPLATES[1:])
    ]
    pictures = torch.cat([plain[:, :SHARE], *others], 1)
    rows = measure(judges, name, pictures, negatives=[()] * len(concept))
    return {key: rows[key] for key in ("factors", "visible")}


def described(judges: Judges, name: str, factors: Sequence[int]) -> str:
    """Write a prompt that names parts the oracle read, as a person would describe the picture.

    It names as many of the structural parts as the text encoder takes, at most four.
    """
    kind = category(name)
    values = {f.name: list(f.values)[v] for f, v in zip(kind.factors, factors, strict=True)}
    for count in (4, 3, 2):
        parts = [f.name for f in kind.factors if f.structural][:count]
        subject = captions.subject(
            kind,
            values,
            species=None,
            parts=parts,
            color=True,
            pattern="pattern" in values,
        )
        description = article(subject)
        if fits_context(description, judges.pipe, [PLAIN.replace("a {}", "{}")]):
            break
    return PLAIN.replace("a {}", description)


def main_part(judges: Judges, name: str) -> dict[str, Any]:
    """Learn 75 concepts with two manual negatives, and draw what needs no learning.

    These rivals are negative prompts, no negatives, and random prompts.
    """
    pipe = judges.pipe
    cond = pipe.encode_text([named(name)[0]])
    away = PriorSampling(guidance=GUIDANCE)
    by_method: dict[str, list[Tensor]] = {
        "ConceptLab": [],
        "negative prompt, prior": [],
        "negative prompt, decoder": [],
    }
    things = []
    settings = negative_pairs(name)
    seconds = 0.0
    drawing = 0.0
    for i, pair in enumerate(settings):
        clock = time.monotonic()
        result = learn_concept(pipe, name, negatives=pair, config=MANUAL, seed=100 * i)
        seconds = seconds + time.monotonic() - clock
        clock = time.monotonic()
        pictures = drawn(judges, result.concept, EACH, seed=100 * i)
        drawing += time.monotonic() - clock
        things.append(one_thing(judges, name, result.concept, plain=pictures))
        by_method["ConceptLab"].append(pictures)
        against = pipe.encode_text([PLAIN.format(" and a ".join(pair))])
        flat = pipe.sample_prior(
            cond, SEEDS * EACH, noise=seeded(i), negative=against, sampling=away
        )
        z = flat.view(SEEDS, EACH, -1)
        by_method["negative prompt, prior"].append(decode(pipe, z, i))
        z = pipe.sample_prior(cond, SEEDS * EACH, noise=seeded(i)).view(SEEDS, EACH, -1)
        negative = pipe.sample_prior(against, SEEDS * EACH, noise=seeded(50 + i)).view_as(z)
        by_method["negative prompt, decoder"].append(
            pipe.decode(z, generator=seeded(i), guidance=GUIDANCE, negative=negative)
        )
    negatives = [pair for pair in settings for _ in range(SEEDS)]
    found = {
        method: measure(judges, name, torch.cat(batches), negatives=negatives)
        for method, batches in by_method.items()
    }
    z = pipe.sample_prior(cond, SEEDS * EACH, noise=seeded(7)).view(SEEDS, EACH, -1)
    rivals = {"no negatives": decode(pipe, z, 7), "random parts": random_parts(judges, name)}
    for method, pictures in rivals.items():
        repeated = pictures.repeat(len(settings), 1, 1, 1, 1)
        found[method] = measure(judges, name, repeated, negatives=negatives)
    joined = {key: [group for thing in things for group in thing[key]] for key in things[0]}
    return found | {
        "one thing": joined,
        "seconds": seconds,
        "drawing": drawing,
        "structural": structural(name),
    }


def structural(name: str) -> list[bool]:
    """Say of each factor of a category whether it is structural."""
    return [f.structural for f in category(name).factors]


def random_parts(judges: Judges, name: str) -> Float[Tensor, "s e 3 h w"]:
    """Draw pictures of prompts that name three random parts: the rival that learns nothing."""
    pipe = judges.pipe
    prompts = naming_parts(name, n=SEEDS * EACH, parts=3, rng=random.Random(0))
    guided = PriorSampling(guidance=3.0)
    batches = [
        pipe.sample_prior(
            pipe.encode_text(prompts[i : i + 16]), 1, noise=seeded(i), sampling=guided
        )
        for i in range(0, len(prompts), 16)
    ]
    return decode(pipe, torch.cat(batches).view(SEEDS, EACH, -1), 8)


def adaptive_part(judges: Judges, name: str) -> dict[str, Any]:
    """Learn five concepts with adaptive negatives, settle them, and describe them in words.

    Also record the similarity to each species along the run.
    """
    pipe = judges.pipe
    words = TextEmbeddings(pipe)
    curves = []
    config = replace(LEARN_DEFAULTS, concepts=SEEDS)
    clock = time.monotonic()
    species = list(category(name).species)
    text = words(PLAIN, species)
    last = None
    for last in iter_learn(pipe, name, config=config, vqa=judges.vqa):
        if last.step and config.templates[last.step.index % len(config.templates)] == PLAIN:
            similarity = cosine_similarity(last.step.z[:, :, None], text, dim=-1).mean(1)
            rounded = [[round(v, 4) for v in row] for row in similarity.tolist()]
            curves.append({"step": last.step.index, "similarity": rounded})
    assert last is not None
    learned = last.result
    learning = time.monotonic() - clock
    clock = time.monotonic()
    settled = settle(pipe, name, learned, negatives=last.negatives)
    settling = time.monotonic() - clock
    seconds = {"learning": learning, "settling": settling, "asking": last.ask_seconds}
    found: dict[str, Any] = {}
    for state, concept in (("as learned", learned), ("settled", settled)):
        pictures = drawn(judges, concept, EACH)
        rows = measure(judges, name, pictures, negatives=last.negatives)
        found[state] = rows | {"one thing": one_thing(judges, name, concept, plain=pictures)}
    descriptions = []
    for group in found["settled"]["factors"]:
        mode = torch.tensor(group).mode(0).values.tolist()
        descriptions.append(described(judges, name, mode))
    guided = PriorSampling(guidance=3.0)
    batches = [
        pipe.sample_prior(pipe.encode_text([prompt]), EACH, noise=seeded(20), sampling=guided)
        for prompt in descriptions
    ]
    pictures = decode(pipe, torch.cat(batches), 21)
    found["described"] = measure(judges, name, pictures, negatives=last.negatives)
    return found | {
        "told": descriptions,
        "curves": curves,
        "species": species,
        "negatives": last.negatives,
        "seconds": seconds,
        "history": [[a.step, a.concept, a.word, a.verdict] for a in last.history],
        "steps": last.optimizer_state.index + 1,
        "structural": structural(name),
    }


def ablation_part(judges: Judges, name: str) -> dict[str, Any]:
    """Learn two concepts against the first pair, with one thing changed at a time.

    What only many negatives show is learned against all species.
    """
    base = replace(MANUAL, concepts=2)
    found = {}
    pair = negative_pairs(name)[0]
    every = list(category(name).species)
    for variant, change, negatives in (
        ("prior", {}, pair),
        ("text", {"space": "text"}, pair),
        ("decoder", {"space": "decoder", "steps": 60}, pair),
        ("no clamps", {"use_thresholds": False}, pair),
        ("all species", {}, every),
        ("all species, no maximum", {"use_max": False}, every),
        ("all species, no clamps", {"use_thresholds": False}, every),
    ):
        config = replace(base, **change)
        clock = time.monotonic()
        result = learn_concept(judges.pipe, name, negatives=negatives, config=config)
        seconds = time.monotonic() - clock
        pictures = drawn(judges, result.concept, SHARE * 2)
        thing = one_thing(judges, name, result.concept, plain=pictures)
        rows = measure(judges, name, pictures, negatives=[negatives] * 2)
        found[variant] = rows | {"one thing": thing, "seconds": seconds}
    return found | {"structural": structural(name)}


def weight_part(judges: Judges, name: str) -> dict[str, Any]:
    """Learn two concepts against all species for each lambda."""
    every = list(category(name).species)
    found = {}
    for weight in WEIGHTS:
        config = replace(MANUAL, concepts=2, weight=weight)
        result = learn_concept(judges.pipe, name, negatives=every, config=config)
        pictures = drawn(judges, result.concept, 8)
        found[str(weight)] = measure(judges, name, pictures, negatives=[every] * 2)
    return found


def mix_part(judges: Judges, name: str) -> dict[str, Any]:
    """Mix each pair of species with two seeds, and look for parts of both parents.

    A picture counts as carried if, of every parent, it shows something that the other parent lacks.
    """
    pipe = judges.pipe
    distribution = truth(name)
    names = list(category(name).species)
    carried = []
    valid = []
    for i, pair in enumerate(negative_pairs(name)):
        parents = [
            picture_embeddings(pipe, TokenConcept.init(pipe, word), generator=seeded(i))[0]
            for word in pair
        ]
        both = torch.stack(parents)[None].expand(2, -1, -1, -1)
        child = mix(pipe, name, both, seed=100 * i)
        pictures = drawn(judges, child, 16, seed=100 * i)
        rows = measure(judges, name, pictures, negatives=[pair] * 2)
        factors = torch.tensor(rows["factors"])
        visible = torch.tensor(rows["visible"])
        first, second = (distribution.allowed[names.index(word)] for word in pair)  # f v

        def has(only: Tensor, factors: Tensor = factors, visible: Tensor = visible) -> Tensor:
            index = torch.arange(factors.shape[-1]).expand_as(factors)
            return (only[index, factors] & visible).any(-1)

        carried += (has(first & ~second) & has(second & ~first)).float().tolist()
        valid += rows["valid"]
    return {"carried": carried, "valid": valid}


PARTS: dict[str, Callable[[Judges, str], dict[str, Any]]] = {
    "main": main_part,
    "adaptive": adaptive_part,
    "mix": mix_part,
    "weight": weight_part,
    "ablation": ablation_part,
}

if __name__ == "__main__":
    run(
        __doc__ or "",
        "conceptlab",
        parts=PARTS,
        figures=FIGURES,
        categories=CATEGORIES,
    )

"""python -m benchmarks.conceptlab.runs [PART ...]: ConceptLab's own protocol (arXiv 2308.02669, section 5) and what it does in truth.

Parts: main, adaptive, ablation, weight, mix; all by default, each with results of its own; see `lab.run`. Similarities are those of the
judge, a CLIP that nothing was optimised against; what is valid, new, or one of the negatives says the world's oracle. Intervals are
bootstrapped over concepts.
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
from creativelib.unclip.prior import PriorSampling
from creativelib.world import captions, category, styles, truth

CATEGORIES = ("pet", "plant", "fruit", "furniture", "musical instrument")
SEEDS = 5
EACH = 32
PLAIN = "a photo of a {}"
TEMPLATES = (PLAIN, "a picture of a {}", "a pencil sketch of a {}", "a watercolor painting of a {}")
SHARE = EACH // len(TEMPLATES)  # of the seeds over which one thing is looked for, in each template
MANUAL = LearnConfig(concepts=SEEDS, steps=150)
GUIDANCE = 4.0  # of negative prompting: the paper's for the prior


def pairs(name: str) -> list[tuple[str, str]]:
    """Three pairs of species: the first six in the world's order."""
    names = list(category(name).species)
    return [(names[i], names[i + 1]) for i in (0, 2, 4)]


def measure(
    lab: Judges, name: str, pictures: Float[Tensor, "g n 3 h w"], negatives: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Rows of g groups, each with its own negatives: one list for each group, one value for each picture."""
    kind = category(name)
    flat = pictures.flatten(0, 1)
    shape = pictures.shape[:2]
    found = lab.oracle.judge(flat, name)
    count = len(kind.factors)
    value = found.reading.factors[:, :count].argmax(2)
    visible = torch.ones(len(flat), count, dtype=torch.bool)
    visible[:, -1] = styles.color_visible(found.reading.scenes().style)
    outside = found.departures.view(*shape, -1)
    seen_by_judge = lab.judge.encode_images(flat).view(*shape, -1)
    names = list(kind.species)
    positive = seen_by_judge @ lab.judge.encode_text([PLAIN.format(name)])[0]
    largest = []
    within = []
    same = []
    for i, words in enumerate(negatives if any(negatives) else ()):
        columns = [names.index(word) for word in words if word in names]
        largest.append(
            (seen_by_judge[i] @ lab.judge.encode_text([PLAIN.format(word) for word in words]).T)
            .amax(1)
            .tolist()
        )
        within.append((outside[i][:, columns] <= 1).any(1).float().tolist())
        same.append((outside[i][:, columns] == 0).any(1).float().tolist())
    rows = {
        "valid": found.valid.float(),
        "form": found.novel_in_form.float(),
        "both": (found.valid & found.novel_in_form).float(),
        "positive": positive,
    }
    rows = {name: column.view(shape).tolist() for name, column in rows.items()} | {
        "largest": largest,
        "match": within,
        "same": same,
    }
    return rows | {
        "factors": value.view(*shape, -1).tolist(),
        "visible": visible.view(*shape, -1).tolist(),
    }


def drawn(
    lab: Judges, concept: Concept, n: int, template: str = PLAIN, seed: int = 1
) -> Float[Tensor, "k n 3 h w"]:
    return decode(lab.pipe, concept.sample(lab.pipe, template, n, noise=seeded(seed)), seed + 1)


def one_thing(
    lab: Judges, name: str, concept: Concept, plain: Float[Tensor, "k n 3 h w"]
) -> dict[str, Any]:
    """Factors of 32 pictures of each concept: eight seeds in each of four templates."""
    others = [
        drawn(lab, concept, SHARE, template, 10 + i) for i, template in enumerate(TEMPLATES[1:])
    ]
    rows = measure(lab, name, torch.cat([plain[:, :SHARE], *others], 1), [()] * len(concept))
    return {key: rows[key] for key in ("factors", "visible")}


def described(lab: Judges, name: str, factors: Sequence[int]) -> str:
    """A prompt with as many of the parts that the oracle read as the text encoder takes, at most four, as a person would describe it."""
    kind = category(name)
    values = {f.name: list(f.values)[v] for f, v in zip(kind.factors, factors, strict=True)}
    for count in (4, 3, 2):
        parts = [f.name for f in kind.factors if f.structural][:count]
        told = article(captions.subject(kind, values, None, parts, True, "pattern" in values))
        if fits_context(told, lab.pipe, [PLAIN.replace("a {}", "{}")]):
            break
    return PLAIN.replace("a {}", told)


def main_part(lab: Judges, name: str) -> dict[str, Any]:
    """75 concepts with two manual negatives, and what needs no learning: negative prompting and random prompts."""
    pipe = lab.pipe
    prompt = named(name)[0]
    made: dict[str, list[Tensor]] = {
        way: [] for way in ("ConceptLab", "negative prompt, prior", "negative prompt, decoder")
    }
    learned = []
    settings = pairs(name)
    seconds = 0.0
    drawing = 0.0
    for i, pair in enumerate(settings):
        clock = time.monotonic()
        result = learn_concept(pipe, name, pair, MANUAL, 100 * i)
        seconds = seconds + time.monotonic() - clock
        clock = time.monotonic()
        pictures = drawn(lab, result.concept, EACH, seed=100 * i)
        drawing += time.monotonic() - clock
        learned.append(one_thing(lab, name, result.concept, pictures))
        made["ConceptLab"].append(pictures)
        cond = pipe.encode_text([prompt])
        against = pipe.encode_text([PLAIN.format(" and a ".join(pair))])
        z = pipe.sample_prior(
            cond,
            SEEDS * EACH,
            noise=seeded(i),
            negative=against,
            sampling=PriorSampling(guidance=GUIDANCE),
        ).view(SEEDS, EACH, -1)
        made["negative prompt, prior"].append(decode(pipe, z, i))
        z = pipe.sample_prior(cond, SEEDS * EACH, noise=seeded(i)).view(SEEDS, EACH, -1)
        away = pipe.sample_prior(against, SEEDS * EACH, noise=seeded(50 + i)).view_as(z)
        made["negative prompt, decoder"].append(
            pipe.decode(z, generator=seeded(i), guidance=GUIDANCE, negative=away)
        )
    each = [pair for pair in settings for _ in range(SEEDS)]
    found = {way: measure(lab, name, torch.cat(groups), each) for way, groups in made.items()}
    usual = decode(
        pipe,
        pipe.sample_prior(pipe.encode_text([prompt]), SEEDS * EACH, noise=seeded(7)).view(
            SEEDS, EACH, -1
        ),
        7,
    )
    odd = random_parts(lab, name)
    for way, pictures in (("no negatives", usual), ("random parts", odd)):
        found[way] = measure(lab, name, pictures.repeat(len(settings), 1, 1, 1, 1), each)
    things = {key: [group for rows in learned for group in rows[key]] for key in learned[0]}
    return found | {
        "one thing": things,
        "seconds": seconds,
        "drawing": drawing,
        "structural": structural(name),
    }


def structural(name: str) -> list[bool]:
    return [f.structural for f in category(name).factors]


def random_parts(lab: Judges, name: str) -> Float[Tensor, "s e 3 h w"]:
    """Pictures of prompts that name three random parts: the rival that learns nothing."""
    prompts = naming_parts(name, SEEDS * EACH, 3, random.Random(0))
    z = torch.cat(
        [
            lab.pipe.sample_prior(
                lab.pipe.encode_text(prompts[i : i + 16]),
                1,
                noise=seeded(i),
                sampling=PriorSampling(guidance=3.0),
            )
            for i in range(0, len(prompts), 16)
        ]
    )
    return decode(lab.pipe, z.view(SEEDS, EACH, -1), 8)


def adaptive_part(lab: Judges, name: str) -> dict[str, Any]:
    """Five concepts with adaptive negatives, as learned and settled; how each negative's similarity went; and their descriptions."""
    pipe, words, curves = lab.pipe, TextEmbeddings(lab.pipe), []
    config = replace(LEARN_DEFAULTS, concepts=SEEDS)
    clock = time.monotonic()
    species = list(category(name).species)
    text = words(PLAIN, species)
    last = None
    for last in iter_learn(pipe, name, config=config, vqa=lab.vqa):
        if last.step and config.templates[last.step.index % len(config.templates)] == PLAIN:
            near = cosine_similarity(last.step.z[:, :, None], text, dim=-1).mean(1)
            curves.append(
                {
                    "step": last.step.index,
                    "similarity": [[round(v, 4) for v in row] for row in near.tolist()],
                }
            )
    assert last is not None
    learned = last.result
    took = time.monotonic() - clock
    clock = time.monotonic()
    settled = settle(pipe, name, learned, last.negatives)
    seconds = {"learning": took, "settling": time.monotonic() - clock, "asking": last.ask_seconds}
    found: dict[str, Any] = {}
    for way, concept in (("as learned", learned), ("settled", settled)):
        pictures = drawn(lab, concept, EACH)
        found[way] = measure(lab, name, pictures, last.negatives) | {
            "one thing": one_thing(lab, name, concept, pictures)
        }
    told = []
    for group in found["settled"]["factors"]:
        mode = torch.tensor(group).mode(0).values.tolist()
        told.append(described(lab, name, mode))
    z = torch.cat(
        [
            pipe.sample_prior(
                pipe.encode_text([each]),
                EACH,
                noise=seeded(20),
                sampling=PriorSampling(guidance=3.0),
            )
            for each in told
        ]
    )
    found["described"] = measure(lab, name, decode(pipe, z, 21), last.negatives)
    return found | {
        "told": told,
        "curves": curves,
        "species": species,
        "negatives": last.negatives,
        "seconds": seconds,
        "history": [[a.step, a.concept, a.word, a.verdict] for a in last.history],
        "steps": last.optimizer_state.index + 1,
        "structural": structural(name),
    }


def ablation_part(lab: Judges, name: str) -> dict[str, Any]:
    """Two concepts against the first pair, with one thing changed at a time, and against all species for what only many negatives show."""
    base = replace(MANUAL, concepts=2)
    found = {}
    every = list(category(name).species)
    for way, change, negatives in (
        ("prior", {}, pairs(name)[0]),
        ("text", {"space": "text"}, pairs(name)[0]),
        ("decoder", {"space": "decoder", "steps": 60}, pairs(name)[0]),
        ("no clamps", {"use_thresholds": False}, pairs(name)[0]),
        ("all species", {}, every),
        ("all species, no maximum", {"use_max": False}, every),
        ("all species, no clamps", {"use_thresholds": False}, every),
    ):
        clock = time.monotonic()
        result = learn_concept(lab.pipe, name, negatives, replace(base, **change))
        seconds = time.monotonic() - clock
        pictures = drawn(lab, result.concept, SHARE * 2)
        thing = one_thing(lab, name, result.concept, pictures)
        found[way] = measure(lab, name, pictures, [negatives] * 2) | {
            "one thing": thing,
            "seconds": seconds,
        }
    return found | {"structural": structural(name)}


def weight_part(lab: Judges, name: str) -> dict[str, Any]:
    """Two concepts against all species for each lambda."""
    every = list(category(name).species)
    found = {}
    for weight in WEIGHTS:
        result = learn_concept(lab.pipe, name, every, replace(MANUAL, concepts=2, weight=weight))
        found[str(weight)] = measure(lab, name, drawn(lab, result.concept, 8), [every] * 2)
    return found


def mix_part(lab: Judges, name: str) -> dict[str, Any]:
    """Mixtures of each pair of species, two seeds each: do they carry something that only one parent has, of every parent?"""
    pipe = lab.pipe
    kind = category(name)
    known = truth(name)
    names = list(kind.species)
    carried = []
    valid = []
    for i, pair in enumerate(pairs(name)):
        rows = torch.stack(
            [
                picture_embeddings(pipe, TokenConcept.init(pipe, word), generator=seeded(i))[0]
                for word in pair
            ]
        )
        child = mix(pipe, name, rows[None].expand(2, -1, -1, -1), seed=100 * i)
        judged = measure(lab, name, drawn(lab, child, 16, seed=100 * i), [pair] * 2)
        factors = torch.tensor(judged["factors"])
        visible = torch.tensor(judged["visible"])
        mine, theirs = (known.allowed[names.index(word)] for word in pair)  # f v

        def has(only: Tensor, factors: Tensor = factors, visible: Tensor = visible) -> Tensor:
            index = torch.arange(factors.shape[-1]).expand_as(factors)
            return (only[index, factors] & visible).any(-1)

        carried += (has(mine & ~theirs) & has(theirs & ~mine)).float().tolist()
        valid += judged["valid"]
    return {"carried": carried, "valid": valid}


PARTS: dict[str, Callable[[Judges, str], dict[str, Any]]] = {
    "main": main_part,
    "adaptive": adaptive_part,
    "mix": mix_part,
    "weight": weight_part,
    "ablation": ablation_part,
}

if __name__ == "__main__":
    run(__doc__ or "", "conceptlab", PARTS, FIGURES, CATEGORIES)

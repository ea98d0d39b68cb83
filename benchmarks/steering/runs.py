"""Measure rarity steering over all categories and seeds, its ablations and its rivals.

    python -m benchmarks.steering.runs [PART ...]

Parts: main, ablation, rival, guidance, cost, dial, depth, batch. All run by default, and each
publishes results of its own; see `benchmarks.judges.run`. The world's oracle judges each picture;
its category is also judged by a CLIP that had no part in steering. Intervals draw categories anew
and concepts within them, since the pictures of one concept resemble each other, and so do the
concepts of one category.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.judges import Judges, decode, named, run, seeded
from benchmarks.steering.summaries import DIALS, FIGURES, PULLBACK_STRENGTHS, SEEDS
from creativelib.concept import Concept, init
from creativelib.evaluation.baselines import naming_parts
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Rarity
from creativelib.steering.guidance import guide_decoder, guide_prior, split_prior
from creativelib.steering.pullback import draw_rare
from creativelib.steering.recipe import steer
from creativelib.steering.settings import LR, STEER_DEFAULTS, SteerConfig
from creativelib.steering.target import fit_baseline, rarity_target
from creativelib.unclip.prior import PriorSampling
from creativelib.world import CATEGORIES
from creativelib.world.scenes import draw, sample_scenes

EACH = 16  # pictures of a run


def main_part(judges: Judges, category: str) -> dict[str, Any]:
    """Steer tokens with all pullbacks at the default dial, and draw the baseline."""
    pipe = judges.pipe
    prompt, template = named(category)
    density = fit_baseline(pipe, prompt)
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    batches = []
    seconds = []
    checks = []
    for seed in range(SEEDS):
        clock = time.monotonic()
        result = steer(
            pipe,
            category,
            density=density,
            config=STEER_DEFAULTS,
            seed=seed,
            template=template,
            vqa=judges.vqa,
        )
        batches.append(
            draw_rare(
                pipe,
                result.concept,
                density=density,
                target=target,
                n=EACH // STEER_DEFAULTS.concepts,
                template=template,
                generator=seeded(seed),
            )
        )
        seconds.append(time.monotonic() - clock)
        checks.append(result.check_seconds)
    z = torch.cat(batches)
    cond = pipe.encode_text([prompt])
    typical = pipe.sample_prior(cond, SEEDS * EACH, noise=seeded(1)).view(SEEDS, EACH, -1)
    wild = draw(sample_scenes(400, seeded(2), wild=1.0, category=category))
    return {
        "tail": density.quantile(0.99),
        "steered": judges.measure(category, z, decode(pipe, z, 3), density=density),
        "seconds": seconds,
        "check_seconds": checks,
        "baseline": judges.measure(category, typical, decode(pipe, typical, 4), density=density),
        "wild": judges.judge.encode_images(wild).tolist(),
    }


# For each pullback a change of the settings, and whether the semantic check is on.
PULLBACKS: dict[str, Callable[[SteerConfig], tuple[SteerConfig, bool]]] = {
    "none": lambda c: (replace(c, anchor=0.0, pullback=0.0), False),
    "anchor": lambda c: (replace(c, pullback=0.0), False),
    "check": lambda c: (replace(c, anchor=0.0, pullback=0.0, on_invalid="stop"), True),
    "both": lambda c: (replace(c, pullback=0.0), True),
    "both, and the prior's": lambda c: (c, True),
}


def ablation_part(judges: Judges, category: str) -> dict[str, Any]:
    """Steer every kind of concept under every pullback towards the same target.

    The seeds form one batch without repulsion, so each moves independently.
    """
    pipe = judges.pipe
    prompt, template = named(category)
    density = fit_baseline(pipe, prompt)
    found = {}
    for kind in LR:
        for name, change in PULLBACKS.items():
            config, checked = change(
                replace(
                    STEER_DEFAULTS,
                    kind=kind,
                    concepts=SEEDS,
                    spread=0.0,
                    samples=1 if kind == "embedding" else 6,
                )
            )
            result = steer(
                pipe,
                category,
                density=density,
                config=config,
                seed=0,
                template=template,
                vqa=judges.vqa if checked else None,
            )
            z = draw_rare(
                pipe,
                result.concept,
                density=density,
                target=result.target.surprisal,
                n=8,
                template=template,
                generator=seeded(5),
                config=config,
            )
            found[f"{kind}; {name}"] = judges.measure(
                category, z, decode(pipe, z, 6), density=density
            )
    return found


def rival_part(judges: Judges, category: str) -> dict[str, Any]:
    """Draw as many pictures without steering, each from a prompt of its own with random parts."""
    pipe = judges.pipe
    prompt, _ = named(category)
    density = fit_baseline(pipe, prompt)
    rng = random.Random(0)
    guided = PriorSampling(guidance=3.0)
    found = {}
    for parts in (2, 3):
        prompts = naming_parts(category, n=SEEDS * EACH, parts=parts, rng=rng)
        batches = [
            pipe.sample_prior(
                pipe.encode_text(prompts[i : i + 16]), 1, noise=seeded(i), sampling=guided
            )
            for i in range(0, len(prompts), 16)
        ]
        z = torch.cat(batches).view(SEEDS, EACH, -1)
        found[f"random prompts, {parts} parts"] = judges.measure(
            category, z, decode(pipe, z, 7), density=density
        )
    return found


def guidance_part(judges: Judges, category: str) -> dict[str, Any]:
    """Split or push the prior, and push the decoder, while they sample."""
    pipe = judges.pipe
    prompt, _ = named(category)
    density = fit_baseline(pipe, prompt)
    cond = pipe.encode_text([prompt])
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    typical = pipe.sample_prior(cond, 48, noise=seeded(1))
    found: dict[str, Any] = {"tail": density.quantile(0.99)}
    embeddings = {
        "plain": typical,
        "prior, split": split_prior(
            pipe, cond, n=48, density=density, target=target, generator=seeded(1)
        ),
    }
    for name, strength in (("prior, pushed", 1.0), ("prior, pushed at half strength", 0.5)):
        embeddings[name] = guide_prior(
            pipe,
            cond,
            n=48,
            density=density,
            target=target,
            generator=seeded(1),
            strength=strength,
        )
    drawn = {name: (z, decode(pipe, z, 2)) for name, z in embeddings.items()}
    pushed = guide_decoder(pipe, typical, density=density, target=target, generator=seeded(2))
    drawn["decoder, pushed"] = (pipe.encode_images(pushed), pushed)
    for name, (z, x) in drawn.items():
        pictures = x.view(6, 8, *x.shape[2:])
        found[name] = judges.measure(category, z.view(6, 8, -1), pictures, density=density)
    return found


def cost_part(judges: Judges, category: str) -> dict[str, Any]:
    """Time 16 pictures from text under each kind of guidance, in seconds: the shortest of three."""
    pipe = judges.pipe
    prompt, _ = named(category)
    density = fit_baseline(pipe, prompt)
    cond = pipe.encode_text([prompt])
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    typical = pipe.sample_prior(cond, 16, noise=seeded(1))

    def seconds(run: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(3):
            clock = time.monotonic()
            run()
            times.append(time.monotonic() - clock)
        return min(times)

    def split() -> Tensor:
        return split_prior(pipe, cond, n=16, density=density, target=target, generator=seeded(1))

    def push() -> Tensor:
        return guide_prior(pipe, cond, n=16, density=density, target=target, generator=seeded(1))

    def push_decoder() -> Tensor:
        return guide_decoder(pipe, typical, density=density, target=target, generator=seeded(2))

    prior = seconds(lambda: pipe.sample_prior(cond, 16, noise=seeded(1)))
    decoder = seconds(lambda: decode(pipe, typical, 2))
    return {
        "no guidance": prior + decoder,
        "prior, split": decoder + seconds(split),
        "prior, pushed": decoder + seconds(push),
        "decoder, pushed": prior + seconds(push_decoder),
    }


def dial_part(judges: Judges, category: str) -> dict[str, Any]:
    """Steer four concepts at each of five settings of the dial."""
    pipe = judges.pipe
    prompt, template = named(category)
    density = fit_baseline(pipe, prompt)
    found = {}
    for dial in DIALS:
        config = replace(STEER_DEFAULTS, dial=dial)
        result = steer(
            pipe,
            category,
            density=density,
            config=config,
            seed=0,
            template=template,
            vqa=judges.vqa,
        )
        z = draw_rare(
            pipe,
            result.concept,
            density=density,
            target=result.target.surprisal,
            n=8,
            template=template,
            generator=seeded(8),
            config=config,
        )
        found[str(dial)] = judges.measure(category, z, decode(pipe, z, 9), density=density)
    return found


def depth_part(judges: Judges, category: str) -> dict[str, Any]:
    """Pull back with several strengths, from a run to the default dial and from one beyond it.

    All seeds of a dial form one batch.
    """
    pipe = judges.pipe
    prompt, template = named(category)
    density = fit_baseline(pipe, prompt)
    found = {}
    for dial in (STEER_DEFAULTS.dial, 2.2):
        config = replace(STEER_DEFAULTS, dial=dial, concepts=SEEDS, spread=0.0)
        result = steer(pipe, category, density=density, config=config, seed=0, template=template)
        for strength in PULLBACK_STRENGTHS:
            z = draw_rare(
                pipe,
                result.concept,
                density=density,
                target=result.target.surprisal,
                n=4,
                template=template,
                generator=seeded(10),
                config=replace(config, pullback=strength),
            )
            rows = judges.measure(category, z, decode(pipe, z, 11), density=density)
            found[f"dial {dial}, depth {strength}"] = rows | {"tail": density.quantile(0.99)}
    return found


def batch_part(judges: Judges, category: str) -> dict[str, Any]:
    """Time ten steps of eight concepts in one batch, and of one concept: the shortest of three."""
    pipe = judges.pipe
    prompt, template = named(category)
    density = fit_baseline(pipe, prompt)

    def seconds(concept: Concept) -> float:
        clock = time.monotonic()
        for _ in optimize(pipe, concept, Rarity(density), templates=[template], steps=10, n=6):
            pass
        return time.monotonic() - clock

    eight, one = (init(pipe, "feature", category, k=k, generator=seeded(0)) for k in (8, 1))
    return {
        "eight": min(seconds(eight) for _ in range(3)),
        "one": min(seconds(one) for _ in range(3)),
    }


PARTS: dict[str, Callable[[Judges, str], dict[str, Any]]] = {
    "main": main_part,
    "ablation": ablation_part,
    "rival": rival_part,
    "guidance": guidance_part,
    "cost": cost_part,
    "dial": dial_part,
    "depth": depth_part,
    "batch": batch_part,
}


if __name__ == "__main__":
    run(
        __doc__ or "",
        "steering",
        parts=PARTS,
        figures=FIGURES,
        categories=[c.name for c in CATEGORIES],
    )

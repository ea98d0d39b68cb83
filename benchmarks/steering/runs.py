"""python -m benchmarks.steering.runs [PART ...]: rarity steering over all categories and seeds, its ablations and its rivals.

Parts: main, ablation, rival, guidance, cost, dial, depth, batch; all by default, each with results of its own; see `lab.run`. A picture's
judgements come from the world's oracle, its category also from the judge, a CLIP of its own; intervals are bootstrapped over concepts, not
pictures, since the pictures of one concept resemble each other.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.judges import Judges, decode, named, run, seeded
from benchmarks.steering.summaries import DEPTHS, DIALS, FIGURES, SEEDS
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


def main_part(lab: Judges, category: str) -> dict[str, Any]:
    """Token steering with all pullbacks at the default dial, and the baseline."""
    prompt, template = named(category)
    density = fit_baseline(lab.pipe, prompt)
    there = rarity_target(density, STEER_DEFAULTS.dial)
    made = []
    seconds = []
    checks = []
    for seed in range(SEEDS):
        clock = time.monotonic()
        result = steer(lab.pipe, category, density, STEER_DEFAULTS, seed, template, vqa=lab.vqa)
        made.append(
            draw_rare(
                lab.pipe,
                result.concept,
                density,
                there.surprisal,
                EACH // STEER_DEFAULTS.concepts,
                template,
                generator=seeded(seed),
            )
        )
        seconds.append(time.monotonic() - clock)
        checks.append(result.check_seconds)
    z = torch.cat(made)
    usual = lab.pipe.sample_prior(
        lab.pipe.encode_text([prompt]), SEEDS * EACH, noise=seeded(1)
    ).view(SEEDS, EACH, -1)
    wild = draw(sample_scenes(400, seeded(2), 1.0, category))
    return {
        "tail": density.quantile(0.99),
        "steered": lab.measure(category, z, decode(lab.pipe, z, 3), density),
        "seconds": seconds,
        "check_seconds": checks,
        "baseline": lab.measure(category, usual, decode(lab.pipe, usual, 4), density),
        "wild": lab.judge.encode_images(wild).tolist(),
    }


PULLBACKS: dict[str, Callable[[SteerConfig], tuple[SteerConfig, bool]]] = {
    "none": lambda c: (replace(c, anchor=0.0, pullback=0.0), False),
    "anchor": lambda c: (replace(c, pullback=0.0), False),
    "check": lambda c: (replace(c, anchor=0.0, pullback=0.0, on_invalid="stop"), True),
    "both": lambda c: (replace(c, pullback=0.0), True),
    "both, and the prior's": lambda c: (c, True),
}


def ablation_part(lab: Judges, category: str) -> dict[str, Any]:
    """Every kind of concept under every pullback, to the same aim; the seeds are one batch without `Spread`, so each goes its own way."""
    prompt, template = named(category)
    density = fit_baseline(lab.pipe, prompt)
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
                lab.pipe, category, density, config, 0, template, vqa=lab.vqa if checked else None
            )
            z = draw_rare(
                lab.pipe,
                result.concept,
                density,
                result.target.surprisal,
                8,
                template,
                generator=seeded(5),
                config=config,
            )
            found[f"{kind}; {name}"] = lab.measure(category, z, decode(lab.pipe, z, 6), density)
    return found


def rival_part(lab: Judges, category: str) -> dict[str, Any]:
    """Random prompts that name parts, with no density and no steering: as many pictures, each of a prompt of its own."""
    prompt, _ = named(category)
    density = fit_baseline(lab.pipe, prompt)
    rng = random.Random(0)
    found = {}
    for parts in (2, 3):
        prompts = naming_parts(category, SEEDS * EACH, parts, rng)
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
        ).view(SEEDS, EACH, -1)
        found[f"random prompts, {parts} parts"] = lab.measure(
            category, z, decode(lab.pipe, z, 7), density
        )
    return found


def guidance_part(lab: Judges, category: str) -> dict[str, Any]:
    """The prior split or pushed, and the decoder pushed, while they sample."""
    prompt, _ = named(category)
    density = fit_baseline(lab.pipe, prompt)
    cond = lab.pipe.encode_text([prompt])
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    usual = lab.pipe.sample_prior(cond, 48, noise=seeded(1))
    found: dict[str, Any] = {"tail": density.quantile(0.99)}
    ways = {
        "plain": usual,
        "prior, split": split_prior(lab.pipe, cond, 48, density, target, generator=seeded(1)),
    }
    for name, strength in (("prior, pushed", 1.0), ("prior, pushed at half strength", 0.5)):
        ways[name] = guide_prior(
            lab.pipe, cond, 48, density, target, generator=seeded(1), strength=strength
        )
    drawn = {name: (z, decode(lab.pipe, z, 2)) for name, z in ways.items()}
    pushed = guide_decoder(lab.pipe, usual, density, target, generator=seeded(2))
    for name, (z, x) in (
        drawn | {"decoder, pushed": (lab.pipe.encode_images(pushed), pushed)}
    ).items():
        found[name] = lab.measure(category, z.view(6, 8, -1), x.view(6, 8, *x.shape[2:]), density)
    return found


def cost_part(lab: Judges, category: str) -> dict[str, Any]:
    """Seconds for 16 pictures from text, by what guides them: the shortest of three."""
    prompt, _ = named(category)
    density = fit_baseline(lab.pipe, prompt)
    cond = lab.pipe.encode_text([prompt])
    target = rarity_target(density, STEER_DEFAULTS.dial).surprisal
    usual = lab.pipe.sample_prior(cond, 16, noise=seeded(1))

    def seconds(run: Callable[[], Tensor]) -> float:
        took = []
        for _ in range(3):
            clock = time.monotonic()
            run()
            took.append(time.monotonic() - clock)
        return min(took)

    prior = seconds(lambda: lab.pipe.sample_prior(cond, 16, noise=seeded(1)))
    decoder = seconds(lambda: decode(lab.pipe, usual, 2))
    return {
        "no guidance": prior + decoder,
        "prior, split": decoder
        + seconds(lambda: split_prior(lab.pipe, cond, 16, density, target, generator=seeded(1))),
        "prior, pushed": decoder
        + seconds(lambda: guide_prior(lab.pipe, cond, 16, density, target, generator=seeded(1))),
        "decoder, pushed": prior
        + seconds(lambda: guide_decoder(lab.pipe, usual, density, target, generator=seeded(2))),
    }


def dial_part(lab: Judges, category: str) -> dict[str, Any]:
    """Five settings of the dial, four concepts each."""
    prompt, template = named(category)
    density = fit_baseline(lab.pipe, prompt)
    found = {}
    for dial in DIALS:
        config = replace(STEER_DEFAULTS, dial=dial)
        result = steer(lab.pipe, category, density, config, 0, template, vqa=lab.vqa)
        z = draw_rare(
            lab.pipe,
            result.concept,
            density,
            result.target.surprisal,
            8,
            template,
            generator=seeded(8),
            config=config,
        )
        found[str(dial)] = lab.measure(category, z, decode(lab.pipe, z, 9), density)
    return found


def depth_part(lab: Judges, category: str) -> dict[str, Any]:
    """How deep to pull back, from a run to the default dial and from one that goes further: one batch of all seeds for each dial."""
    prompt, template = named(category)
    density = fit_baseline(lab.pipe, prompt)
    found = {}
    for dial in (STEER_DEFAULTS.dial, 2.2):
        config = replace(STEER_DEFAULTS, dial=dial, concepts=SEEDS, spread=0.0)
        result = steer(lab.pipe, category, density, config, 0, template)
        for depth in DEPTHS:
            z = draw_rare(
                lab.pipe,
                result.concept,
                density,
                result.target.surprisal,
                4,
                template,
                generator=seeded(10),
                config=replace(config, pullback=depth),
            )
            rows = lab.measure(category, z, decode(lab.pipe, z, 11), density)
            found[f"dial {dial}, depth {depth}"] = rows | {"tail": density.quantile(0.99)}
    return found


def batch_part(lab: Judges, category: str) -> dict[str, Any]:
    """Ten steps of eight concepts in one batch, and of one concept; the shortest of three."""
    prompt, template = named(category)
    density = fit_baseline(lab.pipe, prompt)

    def seconds(concept: Concept) -> float:
        clock = time.monotonic()
        for _ in optimize(lab.pipe, concept, Rarity(density), [template], steps=10, n=6):
            pass
        return time.monotonic() - clock

    eight, one = (init(lab.pipe, "feature", category, k, seeded(0)) for k in (8, 1))
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
    run(__doc__ or "", "steering", PARTS, FIGURES, [c.name for c in CATEGORIES])

"""The oracles: trained on clean, autoencoded and decoded pictures, and on broken ones; then calibrated.

Two stages a net: clean and broken pictures first, then with autoencoded and decoded ones mixed in. Two nets of
different architecture see different batches. Most of their pictures are wild: what is rare is what they have to read.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    interpolate,
    smooth_l1_loss,
)
from tqdm.auto import tqdm

from ..english import article
from ..files import cache_folder
from ..fitting.loop import Recipe, Run, train
from ..fitting.precision import fast_precision
from ..pictures import as_picture, in_bytes
from ..world import CATEGORIES
from ..world.oracle import BODIES, SURE, Net, Oracle, of_category
from ..world.rendering import POSE
from ..world.scenes import Scenes, draw, sample_scenes
from . import data, export
from .data import visible_factors
from .stream import APART, SIDE, Pool

FOLDER = export.FOLDER / "oracle"
BROKEN = 0.15  # share of broken pictures in a batch
SECOND = 0.35  # share of autoencoded or decoded pictures in the second stage
STEPS = (16_000, 600)  # of the first and the second stage


def recipe(name: str, stage: int) -> Recipe:
    return Recipe(
        f"oracle-{name}-{stage + 1}",
        steps=STEPS[stage],
        batch=(512, 128)[stage],
        lr=(3e-3, 6e-4)[stage],
        warmup=(200, 50)[stage],
        weight_decay=0.02,
        average=0.998,
        seed=10 + 2 * list(BODIES).index(name) + stage,
    )


def blur(x: Tensor, generator: torch.Generator) -> Tensor:
    """So soft that parts melt: down to a fifth or less and up again."""
    size = int(torch.randint(5, 12, (1,), generator=generator, device=generator.device))
    return interpolate(interpolate(x, size=size, mode="area"), size=x.shape[-1], mode="bilinear")


def shuffle(x: Tensor, generator: torch.Generator) -> Tensor:
    """Patches of a quarter or half of the side, in a random other order."""
    patch = (
        x.shape[-1]
        // 4
        * int(torch.randint(1, 3, (1,), generator=generator, device=generator.device))
    )
    n, c, h, _ = x.shape
    k = h // patch
    tiles = (
        x.view(n, c, k, patch, k, patch)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(n, k * k, c, patch, patch)
    )
    order = (
        torch.rand(n, k * k, generator=generator, device=generator.device).argsort(1).to(x.device)
    )
    order = torch.where(
        (order == torch.arange(k * k, device=x.device)).all(1, keepdim=True),
        order.roll(1, 1),
        order,
    )
    tiles = tiles.gather(1, order[:, :, None, None, None].expand_as(tiles))
    return tiles.view(n, k, k, c, patch, patch).permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, h)


def halves(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Left half or upper half of one picture, the rest of another."""
    tenth = x.shape[-1] // 10
    cut = x.shape[-1] // 2 + int(
        torch.randint(-tenth, tenth + 1, (1,), generator=generator, device=generator.device)
    )
    out = x.clone()
    if torch.rand((), generator=generator, device=generator.device) < 0.5:
        out[..., cut:] = other[..., cut:]
    else:
        out[:, :, cut:] = other[:, :, cut:]
    return out


def break_pictures(x: Tensor, category: Tensor, generator: torch.Generator) -> Tensor:
    """A third each: blurred, patches shuffled, half-and-half of two categories."""
    n = len(x)
    a = n // 3
    b = 2 * n // 3
    place = torch.arange(n, device=x.device)
    later = (place[:, None] + place) % n  # row by row, from each picture on
    differs = category[later] != category[:, None]
    partner = later[
        place, differs.int().argmax(1)
    ]  # the nearest later picture of another category, or itself
    whole = x.clone()
    x[:a] = blur(whole[:a], generator)
    x[a:b] = shuffle(whole[a:b], generator)
    x[b:] = halves(whole[b:], whole[partner[b:]], generator)
    return x


def losses(net: Net, pictures: Tensor, scenes: Scenes, broken: Tensor) -> dict[str, Tensor]:
    """Cross-entropies in nats and a pose error; broken pictures count for "broken" alone."""
    out = net(pictures)
    whole = ~broken
    low, high = torch.tensor(list(POSE.values()), device=pictures.device).T
    pose = 2 * (scenes.pose - low) / (high - low) - 1
    factors = of_category(out.factors, scenes.category)[whole]
    terms = {
        "factors": cross_entropy(
            factors.flatten(0, 1), visible_factors(scenes)[whole].flatten(), ignore_index=-1
        ),
        "category": cross_entropy(out.category.float()[whole], scenes.category[whole]),
        "broken": binary_cross_entropy_with_logits(out.broken.float(), broken.float()),
        "style": torch.stack(
            [
                cross_entropy(s.float()[whole], t)
                for s, t in zip(out.style, scenes.style[whole].T, strict=True)
            ]
        ).mean(),
        "pose": smooth_l1_loss(out.pose.float()[whole], pose[whole], beta=0.1),
    }
    total = (
        4 * terms["factors"]
        + terms["category"]
        + terms["broken"]
        + terms["style"]
        + 2 * terms["pose"]
    )
    return {"loss": total} | {k: v.detach() for k, v in terms.items()}


@torch.no_grad()
def second_hand(n: int = 3_000, seed: int = 7) -> tuple[Tensor, Scenes]:
    """Bytes (2n, 3, h, w) of autoencoded, then decoded pictures, and their scenes. Kept on disk."""
    pipe = stack()
    scenes = sample_scenes(2 * n, torch.Generator().manual_seed(seed), data.WILD)
    file = cache_folder() / "data" / f"second-hand-{n}-{seed}-{pipe.fingerprint[:12]}.safetensors"
    if not file.exists():
        generator = torch.Generator().manual_seed(seed)
        out = []
        for start in tqdm(range(0, 2 * n, 100), desc="second hand", mininterval=5):
            x = draw(scenes[slice(start, start + 100)], SIDE)
            with fast_precision():
                if start < n:
                    x = pipe.decoder.render(pipe.decoder.encode(x))
                else:
                    x = pipe.decode(pipe.encode_images(x)[None], generator=generator)[0]
            out.append(in_bytes(x.float().clamp(0, 1)))
        save_file({"pictures": torch.cat(out)}, file)
    return load_file(file)["pictures"], scenes


def stack() -> Any:
    """The stack whose pictures the oracles are to read."""
    from ..unclip.pipeline import load

    return load(export.MODEL, device="cpu")


@torch.no_grad()
def drawn_factors(net: Net, used: Tensor, scenes: Scenes) -> Tensor:
    """The scenes' factors, -1 where a net that never saw second-hand pictures is sure of another value: the decoder
    does not draw every part that its embedding speaks of, and an oracle taught the embedding's parts would read what is
    not there."""
    posterior = torch.cat(
        [
            of_category(net(as_picture(x)).factors, category).softmax(2)
            for x, category in zip(used.split(100), scenes.category.split(100), strict=True)
        ]
    )
    sure, value = posterior.max(2)
    return torch.where((sure > SURE) & (value != scenes.factors), -1, scenes.factors)


def settle_statistics(net: torch.nn.Module, batches: list[Tensor]) -> None:
    """Measure batch norm's running statistics anew: those of the last steps do not belong to the averaged weights."""
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a plain average
    net.train()
    with torch.no_grad():
        for pictures in batches:
            net(pictures)
    net.eval()


def weights_file(name: str) -> Path:
    return cache_folder() / "training" / f"{name}-weights.safetensors"


def see(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    return {"pixels": in_bytes(pictures)}


def replaced(scenes: Scenes, rows: slice, others: Scenes) -> Scenes:
    """The scenes with some of them replaced."""
    found = {}
    for name, value in vars(scenes).items():
        found[name] = value.clone()
        found[name][rows] = getattr(others, name).to(value.device)
    return Scenes(**found)


def train_net(body: str, plan: Recipe, run: Run, start: str | None = None) -> tuple[Net, dict]:
    """Train a net and keep its weights under the plan's name. `start` names the run to go on from, now with second-hand
    pictures."""
    torch.manual_seed(plan.seed)
    device = run.device
    net = Net(body, SIDE).to(device).to(memory_format=torch.channels_last)
    pool = Pool(see, device, plan.batch, APART)
    if start:
        net.load_state_dict(load_file(weights_file(start)))
        used, shown = second_hand()
        shown.factors[:] = drawn_factors(net.to("cpu").eval(), used, shown)
        net.to(device)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        x = as_picture(lesson.seen["pixels"])
        scenes = lesson.scenes
        if start:
            count = int(plan.batch * SECOND)
            second = torch.randint(
                len(used), (count,), generator=generator, device=generator.device
            ).cpu()
            x[-count:] = as_picture(used[second]).to(device)
            scenes = replaced(scenes, slice(-count, None), shown[second])
        broken = torch.arange(plan.batch, device=device) < plan.batch * BROKEN
        x[broken] = break_pictures(x[broken], scenes.category[broken], generator)
        much = 0.02 * torch.rand((), generator=generator, device=device)
        x = (x + much * torch.randn(x.shape, generator=generator, device=device)).clamp(0, 1)
        return losses(net, x, scenes, broken)

    facts = train(net, loss, plan, minutes=run.minutes)
    generator = torch.Generator(device).manual_seed(0)
    settle_statistics(
        net, [as_picture(pool.draw(facts["steps"], generator).seen["pixels"]) for _ in range(40)]
    )
    net.to("cpu").to(memory_format=torch.contiguous_format)
    weights_file(plan.name).parent.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), weights_file(plan.name))
    return net, facts


def best_temperature(logits: list[Tensor], targets: list[Tensor], binary: bool = False) -> float:
    """The divisor of the logits with the least cross-entropy (Guo et al. 2017), on a fine grid."""

    def cost(t: float) -> float:
        score = binary_cross_entropy_with_logits if binary else cross_entropy
        return sum(
            score(x / t, y, reduction="sum").item() for x, y in zip(logits, targets, strict=True)
        )

    return min((round(0.4 * 1.03**i, 4) for i in range(80)), key=cost)


@dataclass(frozen=True)
class Trial:
    """What the oracles are calibrated on. pictures: fresh ones of `scenes`, a third each clean, autoencoded and `decoded`; some `broken`.
    typical: decoded pictures of each category's bare prompt."""

    scenes: Scenes
    pictures: Float[Tensor, "n 3 h w"]
    decoded: Bool[Tensor, " n"]
    broken: Bool[Tensor, " n"]
    typical: dict[str, Float[Tensor, "m 3 h w"]]


@torch.no_grad()
def trial(n: int = 1800, each: int = 200, seed: int = 99) -> Trial:
    pipe = stack()
    generator = torch.Generator().manual_seed(seed)
    pictures = []
    scenes = sample_scenes(n, generator, data.WILD)
    for start in tqdm(range(0, n, 100), desc="fresh pictures", mininterval=5):
        x = draw(scenes[slice(start, start + 100)], SIDE)
        if start % 300 == 100:
            x = pipe.decoder.render(pipe.decoder.encode(x))
        elif start % 300 == 200:
            x = pipe.decode(pipe.encode_images(x)[None], generator=generator)[0]
        pictures.append(x.clamp(0, 1))
    pictures = torch.cat(pictures)
    decoded = torch.arange(n) // 100 % 3 == 2
    broken = torch.arange(n) % 6 == 0
    typical = {}
    pictures[broken] = break_pictures(pictures[broken], scenes.category[broken], generator)
    for category in tqdm(CATEGORIES, desc="typical pictures"):
        z = pipe.sample_prior(
            pipe.encode_text([f"a photo of {article(category.name)}"]), each, noise=generator
        )
        typical[category.name] = pipe.decode(z, generator=generator)[0]
    return Trial(scenes, pictures, decoded, broken, typical)


@torch.no_grad()
def calibrate(net: Net, on: Trial) -> Oracle:
    """Temperatures, then the alarm for broken pictures, then the limits of validity."""
    out = net.eval()(on.pictures)
    whole = ~on.broken
    known = (
        whole & ~on.decoded
    )  # a decoded picture need not show the factors that its embedding speaks of
    target = visible_factors(on.scenes)[known].flatten()
    factors = of_category(out.factors, on.scenes.category)[known].flatten(0, 1)
    temperatures = {
        "category": best_temperature([out.category[whole]], [on.scenes.category[whole]]),
        "factors": best_temperature([factors[target >= 0]], [target[target >= 0]]),
        "broken": best_temperature([out.broken], [on.broken.float()], binary=True),
        "style": best_temperature([s[whole] for s in out.style], list(on.scenes.style[whole].T)),
    }
    alarm = (
        (out.broken / temperatures["broken"])
        .sigmoid()[whole]
        .quantile(0.985)
        .clamp(0.01, 0.99)
        .item()
    )
    oracle = Oracle(net, temperatures, {c.name: 1.0 for c in CATEGORIES}, alarm)
    for name, pictures in on.typical.items():
        oracle.limits[name] = round(oracle.judge(pictures, name).distance.quantile(0.99).item(), 5)
    return oracle


def first_stage(name: str, run: Run) -> dict:
    """Train one net on drawn and broken pictures."""
    _, facts = train_net(name, recipe(name, 0), run)
    export.note(f"oracle, {name}, drawn", facts)
    return facts


def main(run: Run) -> dict:
    """Train, calibrate and export both oracles; a first stage that was trained before is not repeated."""
    facts = {}
    nets = {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in BODIES:
        first = recipe(name, 0)
        second = recipe(name, 1)
        if not weights_file(first.name).exists():
            first_stage(name, run)
        nets[name], facts[f"{name}, decoded"] = train_net(name, second, run, first.name)
    on = trial()
    for name, net in nets.items():
        oracle = calibrate(net, on)
        save_file(
            {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()},
            FOLDER / f"{name}.safetensors",
        )
        card = {
            "side": SIDE,
            "temperatures": oracle.temperatures,
            "limits": oracle.limits,
            "broken_limit": round(oracle.broken_limit, 4),
        }
        (FOLDER / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    export.note("oracle", facts)
    export.sums()
    return facts

"""The oracles: trained on clean, autoencoded, decoded and broken pictures, then calibrated.

Each net is trained in two stages: first on clean and broken pictures, then with autoencoded and
decoded ones mixed in. Two nets of different architecture are trained on different batches. Most of
their pictures are wild, since rare combinations are those that the oracles have to read.
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
from ..seeds import seeded
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
SETTLED = 40  # batches from which batch norm's statistics are measured


def recipe(name: str, stage: int) -> Recipe:
    """Return the recipe of a net's first (0) or second (1) stage."""
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
    """Blur pictures until parts merge.

    They are shrunk to a side of 5 to 11 pixels, a fifth or less, and enlarged again.
    """
    size = int(torch.randint(5, 12, (1,), generator=generator, device=generator.device))
    small = interpolate(x, size=size, mode="area")
    return interpolate(small, size=x.shape[-1], mode="bilinear")


def shuffle(x: Tensor, generator: torch.Generator) -> Tensor:
    """Put patches of a quarter or half of the side into a different, random order."""
    device = generator.device
    quarters = int(torch.randint(1, 3, (1,), generator=generator, device=device))
    patch = x.shape[-1] // 4 * quarters
    n, c, h, _ = x.shape
    k = h // patch
    grid = x.view(n, c, k, patch, k, patch).permute(0, 2, 4, 1, 3, 5)
    tiles = grid.reshape(n, k * k, c, patch, patch)
    order = torch.rand(n, k * k, generator=generator, device=device).argsort(1).to(x.device)
    unchanged = (order == torch.arange(k * k, device=x.device)).all(1, keepdim=True)
    order = torch.where(unchanged, order.roll(1, 1), order)
    tiles = tiles.gather(1, order[:, :, None, None, None].expand_as(tiles))
    grid = tiles.view(n, k, k, c, patch, patch).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(n, c, h, h)


def halves(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Join the left or upper half of one picture with the rest of another.

    The cut is up to a tenth of the side away from the middle.
    """
    device = generator.device
    tenth = x.shape[-1] // 10
    offset = int(torch.randint(-tenth, tenth + 1, (1,), generator=generator, device=device))
    cut = x.shape[-1] // 2 + offset
    out = x.clone()
    if torch.rand((), generator=generator, device=device) < 0.5:
        out[..., cut:] = other[..., cut:]
    else:
        out[:, :, cut:] = other[:, :, cut:]
    return out


def break_pictures(x: Tensor, category: Tensor, generator: torch.Generator) -> Tensor:
    """Break pictures in place and return them.

    A third each is blurred, has its patches shuffled, and joins halves of two categories.
    """
    n = len(x)
    a = n // 3
    b = 2 * n // 3
    place = torch.arange(n, device=x.device)
    later = (place[:, None] + place) % n  # row by row, from each picture on
    differs = category[later] != category[:, None]
    # The nearest later picture of another category, or the picture itself.
    partner = later[place, differs.int().argmax(1)]
    intact = x.clone()
    x[:a] = blur(intact[:a], generator)
    x[a:b] = shuffle(intact[a:b], generator)
    x[b:] = halves(intact[b:], intact[partner[b:]], generator)
    return x


def losses(net: Net, pictures: Tensor, scenes: Scenes, broken: Tensor) -> dict[str, Tensor]:
    """Compute cross-entropies in nats and a pose error.

    Broken pictures count for the term "broken" alone.
    """
    out = net(pictures)
    intact = ~broken
    low, high = torch.tensor(list(POSE.values()), device=pictures.device).T
    pose = 2 * (scenes.pose - low) / (high - low) - 1
    factors = of_category(out.factors, scenes.category)[intact].flatten(0, 1)
    target = visible_factors(scenes)[intact].flatten()
    terms = {
        "factors": cross_entropy(factors, target, ignore_index=-1),
        "category": cross_entropy(out.category.float()[intact], scenes.category[intact]),
        "broken": binary_cross_entropy_with_logits(out.broken.float(), broken.float()),
    }
    styles = [
        cross_entropy(logits.float()[intact], true)
        for logits, true in zip(out.style, scenes.style[intact].T, strict=True)
    ]
    terms["style"] = torch.stack(styles).mean()
    terms["pose"] = smooth_l1_loss(out.pose.float()[intact], pose[intact], beta=0.1)
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
    """Make n autoencoded and then n decoded pictures (2n, 3, h, w) in bytes, with their scenes.

    They are kept on disk.
    """
    pipe = stack()
    scenes = sample_scenes(2 * n, seeded(seed), data.WILD)
    file = cache_folder() / "data" / f"second-hand-{n}-{seed}-{pipe.fingerprint[:12]}.safetensors"
    if not file.exists():
        generator = seeded(seed)
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
    """Load the stack whose pictures the oracles have to read."""
    from ..unclip.pipeline import load

    return load(export.MODEL, device="cpu")


@torch.no_grad()
def drawn_factors(net: Net, pixels: Tensor, scenes: Scenes) -> Tensor:
    """Return the scenes' factors, with -1 where the net is sure of another value.

    The net has not been trained on second-hand pictures yet. The decoder does not draw every part
    that its embedding contains, and an oracle trained on those factors would read parts that the
    picture does not show.
    """
    posteriors = [
        of_category(net(as_picture(x)).factors, category).softmax(2)
        for x, category in zip(pixels.split(100), scenes.category.split(100), strict=True)
    ]
    sure, value = torch.cat(posteriors).max(2)
    return torch.where((sure > SURE) & (value != scenes.factors), -1, scenes.factors)


def settle_statistics(net: torch.nn.Module, batches: list[Tensor]) -> None:
    """Measure batch norm's running statistics anew.

    Those of the last steps do not belong to the averaged weights.
    """
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
    """Return the file with the weights that a run ended with."""
    return cache_folder() / "training" / f"{name}-weights.safetensors"


def prepare(
    pictures: Float[Tensor, "n 3 h w"], scenes: Scenes, ids: Int[Tensor, "n c l"]
) -> dict[str, Tensor]:
    """Return the pixels in bytes."""
    return {"pixels": in_bytes(pictures)}


def replaced(scenes: Scenes, rows: slice, others: Scenes) -> Scenes:
    """Copy scenes with some rows replaced by others."""
    found = {}
    for name, value in vars(scenes).items():
        found[name] = value.clone()
        found[name][rows] = getattr(others, name).to(value.device)
    return Scenes(**found)


def train_net(body: str, plan: Recipe, run: Run, start: str | None = None) -> tuple[Net, dict]:
    """Train a net and store its weights under the plan's name.

    `start` names the run to continue from, now with second-hand pictures. The net returned is on
    the CPU.
    """
    torch.manual_seed(plan.seed)
    device = run.device
    net = Net(body, SIDE).to(device).to(memory_format=torch.channels_last)
    pool = Pool(prepare, device, batch=plan.batch, source=APART)
    if start:
        net.load_state_dict(load_file(weights_file(start)))
        reused, shown = second_hand()
        shown.factors[:] = drawn_factors(net.to("cpu").eval(), reused, shown)
        net.to(device)
    count = int(plan.batch * SECOND)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        lesson = pool.draw(step, generator)
        x = as_picture(lesson.inputs["pixels"])
        scenes = lesson.scenes
        if start:
            source = generator.device
            rows = torch.randint(len(reused), (count,), generator=generator, device=source).cpu()
            x[-count:] = as_picture(reused[rows]).to(device)
            scenes = replaced(scenes, slice(-count, None), shown[rows])
        broken = torch.arange(plan.batch, device=device) < plan.batch * BROKEN
        x[broken] = break_pictures(x[broken], scenes.category[broken], generator)
        amount = 0.02 * torch.rand((), generator=generator, device=device)
        noise = torch.randn(x.shape, generator=generator, device=device)
        x = (x + amount * noise).clamp(0, 1)
        return losses(net=net, pictures=x, scenes=scenes, broken=broken)

    facts = train(net, loss, plan, minutes=run.minutes)
    generator = seeded(0, device)
    lessons = [pool.draw(facts["steps"], generator) for _ in range(SETTLED)]
    settle_statistics(net, [as_picture(lesson.inputs["pixels"]) for lesson in lessons])
    net.to("cpu").to(memory_format=torch.contiguous_format)
    weights_file(plan.name).parent.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), weights_file(plan.name))
    return net, facts


def best_temperature(logits: list[Tensor], targets: list[Tensor], binary: bool = False) -> float:
    """Find the divisor of the logits with the least cross-entropy (Guo et al. 2017) on a grid."""

    score = binary_cross_entropy_with_logits if binary else cross_entropy

    def cost(t: float) -> float:
        return sum(
            score(x / t, y, reduction="sum").item() for x, y in zip(logits, targets, strict=True)
        )

    grid = [round(0.4 * 1.03**i, 4) for i in range(80)]
    return min(grid, key=cost)


@dataclass(frozen=True)
class Trial:
    """Data on which the oracles are calibrated."""

    # Scenes of the pictures.
    scenes: Scenes
    # Fresh pictures, a third each clean, autoencoded and decoded; some of all are broken.
    pictures: Float[Tensor, "n 3 h w"]
    # True for decoded pictures.
    decoded: Bool[Tensor, " n"]
    # True for broken pictures.
    broken: Bool[Tensor, " n"]
    # Decoded pictures of each category's bare prompt.
    typical: dict[str, Float[Tensor, "m 3 h w"]]


@torch.no_grad()
def trial(n: int = 1800, each: int = 200, seed: int = 99) -> Trial:
    """Make n fresh pictures, and `each` typical ones of every category."""
    pipe = stack()
    generator = seeded(seed)
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
        cond = pipe.encode_text([f"a photo of {article(category.name)}"])
        z = pipe.sample_prior(cond, each, noise=generator)
        typical[category.name] = pipe.decode(z, generator=generator)[0]
    return Trial(scenes=scenes, pictures=pictures, decoded=decoded, broken=broken, typical=typical)


@torch.no_grad()
def calibrate(net: Net, on: Trial) -> Oracle:
    """Choose the temperatures, then the alarm for broken pictures, then the limits of validity."""
    out = net.eval()(on.pictures)
    intact = ~on.broken
    # A decoded picture may lack factors that its embedding contains.
    labeled = intact & ~on.decoded
    target = visible_factors(on.scenes)[labeled].flatten()
    visible = target >= 0
    factors = of_category(out.factors, on.scenes.category)[labeled].flatten(0, 1)
    styles = [logits[intact] for logits in out.style]
    temperatures = {
        "category": best_temperature([out.category[intact]], [on.scenes.category[intact]]),
        "factors": best_temperature([factors[visible]], [target[visible]]),
        "broken": best_temperature([out.broken], [on.broken.float()], binary=True),
        "style": best_temperature(styles, list(on.scenes.style[intact].T)),
    }
    probability = (out.broken / temperatures["broken"]).sigmoid()[intact]
    alarm = probability.quantile(0.985).clamp(0.01, 0.99).item()
    oracle = Oracle(net, temperatures, limits={c.name: 1.0 for c in CATEGORIES}, broken_limit=alarm)
    for name, pictures in on.typical.items():
        distance = oracle.judge(pictures, name).distance
        oracle.limits[name] = round(distance.quantile(0.99).item(), 5)
    return oracle


def first_stage(name: str, run: Run) -> dict:
    """Train one net on drawn and broken pictures."""
    _, facts = train_net(name, recipe(name, 0), run)
    export.note(f"oracle, {name}, drawn", facts)
    return facts


def main(run: Run) -> dict:
    """Train, calibrate and write both oracles, without repeating a first stage with weights."""
    facts = {}
    nets = {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in BODIES:
        first = recipe(name, 0)
        second = recipe(name, 1)
        if not weights_file(first.name).exists():
            first_stage(name, run)
        nets[name], facts[f"{name}, decoded"] = train_net(
            body=name, plan=second, run=run, start=first.name
        )
    on = trial()
    for name, net in nets.items():
        oracle = calibrate(net, on)
        weights = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
        save_file(weights, FOLDER / f"{name}.safetensors")
        card = {
            "side": SIDE,
            "temperatures": oracle.temperatures,
            "limits": oracle.limits,
            "broken_limit": round(oracle.broken_limit, 4),
        }
        (FOLDER / f"{name}.json").write_text(
            json.dumps(card, indent=1) + "\n", encoding="utf-8", newline="\n"
        )
    export.note("oracle", facts)
    export.sums()
    return facts

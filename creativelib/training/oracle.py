"""The oracles: trained on clean, autoencoded and decoded pictures, and on broken ones; then calibrated.

Two stages a net: clean and broken pictures first, then with autoencoded and decoded ones mixed in. Two nets of different
architecture see different batches. They have a set of their own, most of it wild: what is rare is what they have to read.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate, smooth_l1_loss
from tqdm.auto import tqdm

from ..world import CATEGORIES
from ..world.captions import article
from ..world.oracle import BODIES, FOLDER, SURE, Net, Oracle, of_category
from ..world.render import POSE
from ..world.scenes import Scenes, draw, sample_scenes
from . import data, export
from .data import visible_factors
from .loop import Recipe, train

BROKEN = 0.15  # share of broken pictures in a batch
SECOND = 0.35  # share of autoencoded or decoded pictures in the second stage


STEPS = {"residual": (6700, 500), "mix": (7100, 500)}  # of the first and the second stage


def recipe(name: str, stage: int) -> Recipe:
    return Recipe(f"oracle-{name}-{stage + 1}", steps=STEPS[name][stage], batch=128, lr=(2e-3, 6e-4)[stage], warmup=100, weight_decay=0.02,
                  average=0.995, seed=10 + 2 * list(BODIES).index(name) + stage)


def blur(x: Tensor, generator: torch.Generator) -> Tensor:
    """So soft that parts melt: down to a fifth or less and up again."""
    size = int(torch.randint(5, 12, (1,), generator=generator))
    return interpolate(interpolate(x, size=size, mode="area"), size=x.shape[-1], mode="bilinear")


def shuffle(x: Tensor, generator: torch.Generator) -> Tensor:
    """Patches of 16 or 32 pixels in a random other order."""
    patch = 16 * int(torch.randint(1, 3, (1,), generator=generator))
    n, c, h, _ = x.shape
    k = h // patch
    tiles = x.view(n, c, k, patch, k, patch).permute(0, 2, 4, 1, 3, 5).reshape(n, k * k, c, patch, patch)
    order = torch.rand(n, k * k, generator=generator).argsort(1)
    order = torch.where((order == torch.arange(k * k)).all(1, keepdim=True), order.roll(1, 1), order)
    tiles = tiles.gather(1, order[:, :, None, None, None].expand_as(tiles))
    return tiles.view(n, k, k, c, patch, patch).permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, h)


def halves(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Left half or upper half of one picture, the rest of another."""
    cut = x.shape[-1] // 2 + int(torch.randint(-6, 7, (1,), generator=generator))
    out = x.clone()
    if torch.rand((), generator=generator) < 0.5:
        out[..., cut:] = other[..., cut:]
    else:
        out[:, :, cut:] = other[:, :, cut:]
    return out


def break_pictures(x: Tensor, category: Tensor, generator: torch.Generator) -> Tensor:
    """A third each: blurred, patches shuffled, half-and-half of two categories."""
    n = len(x)
    a, b = n // 3, 2 * n // 3
    partner = torch.arange(n)
    for shift in range(1, n):  # the nearest later picture of another category
        rolled = torch.arange(n).roll(-shift)
        take = (category[partner] == category) & (category[rolled] != category)
        partner = torch.where(take, rolled, partner)
    whole = x.clone()
    x[:a] = blur(whole[:a], generator)
    x[a:b] = shuffle(whole[a:b], generator)
    x[b:] = halves(whole[b:], whole[partner[b:]], generator)
    return x


def losses(net: Net, pictures: Tensor, scenes: Scenes, broken: Tensor) -> dict[str, Tensor]:
    """Cross-entropies in nats and a pose error; broken pictures count for "broken" alone."""
    out, whole = net(pictures), ~broken
    low, high = torch.tensor(list(POSE.values())).T
    pose = 2 * (scenes.pose - low) / (high - low) - 1
    factors = of_category(out.factors, scenes.category)[whole]
    terms = {
        "factors": cross_entropy(factors.flatten(0, 1), visible_factors(scenes)[whole].flatten(), ignore_index=-1),
        "category": cross_entropy(out.category.float()[whole], scenes.category[whole]),
        "broken": binary_cross_entropy_with_logits(out.broken.float(), broken.float()),
        "style": torch.stack([cross_entropy(s.float()[whole], t) for s, t in zip(out.style, scenes.style[whole].T, strict=True)]).mean(),
        "pose": smooth_l1_loss(out.pose.float()[whole], pose[whole], beta=0.1),
    }
    total = 4 * terms["factors"] + terms["category"] + terms["broken"] + terms["style"] + 2 * terms["pose"]
    return {"loss": total} | {k: v.detach() for k, v in terms.items()}


@torch.no_grad()
def second_hand(pictures: data.Set, n: int = 1_200, seed: int = 7) -> tuple[Tensor, Tensor]:
    """Bytes (2n, 3, 64, 64) of autoencoded, then decoded pictures, and the rows of the set that they show. Kept on disk."""
    from ..pipeline import load

    pipe = load("menagerie")
    file = data.cache_folder() / "data" / f"second-hand-{n}-{seed}-{export.stamp(pipe.decoder.unet)}.safetensors"
    if not file.exists():
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(pictures), (2 * n,), generator=generator)
        movq, z, out = export.load_movq(), export.embeddings(pictures), []
        for start in tqdm(range(0, 2 * n, 100), desc="second hand", mininterval=5):
            part = rows[start : start + 100]
            with data.fast_precision():
                if start < n:
                    latents = movq.encode(pictures.batch(part) * 2 - 1).latents
                    x = movq.decode(latents.float(), force_not_quantize=True).sample.float() / 2 + 0.5
                else:
                    x = pipe.decode(z[part][None], generator=generator)[0]
            out.append((x.clamp(0, 1) * 255 + 0.5).byte())
        save_file({"pictures": torch.cat(out), "rows": rows}, file)
    stored = load_file(file)
    return stored["pictures"], stored["rows"]


@torch.no_grad()
def drawn_factors(net: Net, used: Tensor, scenes: Scenes) -> Tensor:
    """The scenes' factors, -1 where a net that never saw second-hand pictures is sure of another value: the decoder does not draw every
    part that its embedding speaks of, and an oracle taught the embedding's parts would read what is not there."""
    posterior = torch.cat([of_category(net(x.float() / 255).factors, category).softmax(2)
                           for x, category in zip(used.split(100), scenes.category.split(100), strict=True)])
    sure, value = posterior.max(2)
    return torch.where((sure > SURE) & (value != scenes.factors), -1, scenes.factors)


def settle_statistics(net: torch.nn.Module, pictures: data.Set, batches: int = 60) -> None:
    """Measure batch norm's running statistics anew: those of the last steps do not belong to the averaged weights."""
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a plain average
    net.train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(batches):
            net(pictures.batch(torch.randint(len(pictures), (128,), generator=generator)))
    net.eval()


def weights_file(name: str) -> Path:
    return data.cache_folder() / "training" / f"{name}-weights.safetensors"


def train_net(body: str, plan: Recipe, start: str | None = None) -> tuple[Net, dict]:
    """Train a net and keep its weights under the plan's name. `start` names the run to go on from, now with second-hand pictures."""
    torch.manual_seed(plan.seed)
    pictures, net = data.load("oracle", 240_000, seed=4, wild=0.6), Net(body).to(memory_format=torch.channels_last)  # faster on a CPU
    if start:
        net.load_state_dict(load_file(weights_file(start)))
        everything = data.load()
        used, rows = second_hand(everything)
        shown = everything.scenes[rows]
        shown.factors[:] = drawn_factors(net.eval(), used, shown)

    def loss(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (plan.batch,), generator=generator)
        x, scenes = pictures.batch(rows), pictures.scenes[rows]
        if start:
            second = torch.randint(len(used), (int(plan.batch * SECOND),), generator=generator)
            x[-len(second):] = used[second].float() / 255
            for tensor, value in zip(scenes.__dict__.values(), shown[second].__dict__.values(), strict=True):
                tensor[-len(second):] = value
        broken = torch.arange(plan.batch) < plan.batch * BROKEN
        x[broken] = break_pictures(x[broken], scenes.category[broken], generator)
        x = (x + 0.02 * torch.rand((), generator=generator) * torch.randn(x.shape, generator=generator)).clamp(0, 1)
        return losses(net, x, scenes, broken)

    facts = train(net, loss, plan)
    settle_statistics(net, pictures)
    net.to(memory_format=torch.contiguous_format)
    save_file(net.state_dict(), weights_file(plan.name))
    return net, facts


def best_temperature(logits: list[Tensor], targets: list[Tensor], binary: bool = False) -> float:
    """The divisor of the logits with the least cross-entropy (Guo et al. 2017), on a fine grid."""
    def cost(t: float) -> float:
        score = binary_cross_entropy_with_logits if binary else cross_entropy
        return sum(score(x / t, y, reduction="sum").item() for x, y in zip(logits, targets, strict=True))
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
    from ..pipeline import load

    pipe, generator, pictures = load("menagerie"), torch.Generator().manual_seed(seed), []
    scenes = sample_scenes(n, generator, data.WILD)
    for start in tqdm(range(0, n, 100), desc="fresh pictures", mininterval=5):
        x = draw(scenes[slice(start, start + 100)])
        if start % 300 == 100:
            x = pipe.decoder.render(pipe.decoder.encode(x))
        elif start % 300 == 200:
            x = pipe.decode(pipe.encode_images(x)[None], generator=generator)[0]
        pictures.append(x.clamp(0, 1))
    pictures, decoded, broken, typical = torch.cat(pictures), torch.arange(n) // 100 % 3 == 2, torch.arange(n) % 6 == 0, {}
    pictures[broken] = break_pictures(pictures[broken], scenes.category[broken], generator)
    for category in tqdm(CATEGORIES, desc="typical pictures"):
        z = pipe.sample_prior(pipe.encode_text([f"a photo of {article(category.name)}"]), each, generator=generator)
        typical[category.name] = pipe.decode(z, generator=generator)[0]
    return Trial(scenes, pictures, decoded, broken, typical)


@torch.no_grad()
def calibrate(net: Net, on: Trial) -> Oracle:
    """Temperatures, then the alarm for broken pictures, then the limits of validity."""
    out, whole = net.eval()(on.pictures), ~on.broken
    known = whole & ~on.decoded  # a decoded picture need not show the factors that its embedding speaks of
    target = visible_factors(on.scenes)[known].flatten()
    factors = of_category(out.factors, on.scenes.category)[known].flatten(0, 1)
    temperatures = {
        "category": best_temperature([out.category[whole]], [on.scenes.category[whole]]),
        "factors": best_temperature([factors[target >= 0]], [target[target >= 0]]),
        "broken": best_temperature([out.broken], [on.broken.float()], binary=True),
        "style": best_temperature([s[whole] for s in out.style], list(on.scenes.style[whole].T)),
    }
    alarm = (out.broken / temperatures["broken"]).sigmoid()[whole].quantile(0.985).clamp(0.01, 0.99).item()
    oracle = Oracle(net, temperatures, {c.name: 1.0 for c in CATEGORIES}, alarm)
    for name, pictures in on.typical.items():
        oracle.limits[name] = round(oracle.judge(pictures, name).distance.quantile(0.99).item(), 5)
    return oracle


def main() -> dict:
    """Train, calibrate and export both oracles."""
    facts, nets = {}, {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in BODIES:
        first, second = recipe(name, 0), recipe(name, 1)
        _, facts[f"{name}, drawn"] = train_net(name, first)
        nets[name], facts[f"{name}, decoded"] = train_net(name, second, first.name)
    on = trial()
    for name, net in nets.items():
        oracle = calibrate(net, on)
        save_file({k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}, FOLDER / f"{name}.safetensors")
        card = {"temperatures": oracle.temperatures, "limits": oracle.limits, "broken_limit": round(oracle.broken_limit, 4)}
        (FOLDER / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    export.note("oracle", facts)
    export.sums()
    return facts

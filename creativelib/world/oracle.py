"""The oracle: reads what is on a picture and judges it against the truth.

*Valid*: category posterior >= 0.9, not broken, and drawing the read factors and pose again comes as close to the picture as 99 %
of decoded typical pictures come. *Novel in form*: for every species, at least two structural factors, each read with posterior
>= 0.9, lie outside its table. *Novel in surface only*: not novel in form, and only colour or pattern lies outside.
Nothing is ever optimised against the oracle.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from . import CATEGORIES, styles, truth
from .rendering import POSE
from .scenes import MAX_FACTORS, Scenes, draw

SURE = 0.9
FOLDER = Path(__file__).parent.parent / "checkpoints" / "menagerie" / "oracle"
STYLE_SIZES = [len(values) for values in styles.FACTORS.values()]
MAX_VALUES = max(len(f.values) for c in CATEGORIES for f in c.factors)


@cache
def slots() -> Int[Tensor, "c f v"]:
    """Where each value of each factor of each category stands among the outputs; one past the last where there is none."""
    total = sum(len(f.values) for c in CATEGORIES for f in c.factors)
    index = torch.full((len(CATEGORIES), MAX_FACTORS, MAX_VALUES), total)
    start = 0
    for i, category in enumerate(CATEGORIES):
        for j, factor in enumerate(category.factors):
            index[i, j, : len(factor.values)] = torch.arange(start, start + len(factor.values))
            start += len(factor.values)
    return index


def of_category(
    factors: Float[Tensor, "n v"], category: Int[Tensor, "n"]
) -> Float[Tensor, "n f u"]:
    """The logits of the factors of each row's category, out of those of all (see `slots`); -1e4 where there is no such value."""
    padded = torch.cat([factors.float(), factors.new_full((len(category), 1), -1e4).float()], 1)
    index = slots().to(category.device)[category]
    return padded.gather(1, index.flatten(1)).view(index.shape)


@dataclass(frozen=True)
class Logits:
    """Raw outputs. factors holds every value of every category, see `slots`; pose is in units of its range, -1..1."""

    category: Float[Tensor, "n c"]
    broken: Float[Tensor, "n"]
    factors: Float[Tensor, "n v"]
    style: tuple[Float[Tensor, "n _"], ...]
    pose: Float[Tensor, "n 9"]


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class Mix(nn.Module):
    """A network over the places of each channel, then one over the channels of each place (MLP-Mixer, Tolstikhin et al. 2021)."""

    def __init__(self, places: int, width: int):
        super().__init__()
        self.over_places = nn.Sequential(
            nn.LayerNorm(width),
            Swap(),
            nn.Linear(places, 2 * places),
            nn.GELU(),
            nn.Linear(2 * places, places),
            Swap(),
        )
        self.over_channels = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.over_places(x)
        return x + self.over_channels(x)


class Swap(nn.Module):
    """Places by channels to channels by places, and back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def _down(before: int, after: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, (size - stride + 1) // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


BODIES: dict[str, Callable[[], nn.Sequential]] = {
    "residual": lambda: nn.Sequential(
        _down(3, 32, 3, 2),
        Residual(32),
        _down(32, 64, 3, 2),
        Residual(64),
        _down(64, 112, 3, 2),
        Residual(112),
        nn.Conv2d(112, 20, 1),
    ),
    "mix": lambda: nn.Sequential(
        _down(3, 32, 3, 2),
        _down(32, 96, 3, 2),
        _down(96, 128, 3, 2),
        nn.Flatten(2),
        Swap(),
        *(Mix(64, 128) for _ in range(3)),
        nn.LayerNorm(128),
        nn.Linear(128, 20),
    ),
}
# For pictures of 128 pixels: the first filters, larger and at half the resolution, keep what there is to see in them.
LARGE_BODIES: dict[str, Callable[[], nn.Sequential]] = {
    "residual": lambda: nn.Sequential(
        _down(3, 24, 5, 2),
        _down(24, 48, 3, 2),
        Residual(48),
        _down(48, 96, 3, 2),
        Residual(96),
        _down(96, 160, 3, 2),
        Residual(160),
        Residual(160),
        nn.Conv2d(160, 32, 1),
    ),
    "mix": lambda: nn.Sequential(
        _down(3, 24, 5, 2),
        _down(24, 64, 3, 2),
        _down(64, 128, 3, 2),
        _down(128, 192, 3, 2),
        nn.Flatten(2),
        Swap(),
        *(Mix(64, 192) for _ in range(4)),
        nn.LayerNorm(192),
        nn.Linear(192, 32),
    ),
}
PLACES = 64  # of the last features of every body


class Net(nn.Module):
    """Pictures (n, 3, side, side) in [0, 1] to logits. `body` is "residual" or "mix", `side` 64 or 128. Larger pictures are reduced to
    that by averaging over areas."""

    def __init__(self, body: str, side: int = 64):
        super().__init__()
        self.side = side
        self.sizes = [len(CATEGORIES), 1, int(slots().max()), *STYLE_SIZES, len(POSE)]
        small = side == 64
        self.body = (BODIES if small else LARGE_BODIES)[body]()
        width, neck = (20, 176) if small else (32, 320)
        self.neck = nn.Sequential(
            nn.Flatten(), nn.ReLU(), nn.Linear(width * PLACES, neck), nn.ReLU()
        )
        self.head = nn.Linear(neck, sum(self.sizes))

    def forward(self, pictures: Float[Tensor, "n 3 h w"]) -> Logits:
        if pictures.shape[-1] > self.side:
            pictures = adaptive_avg_pool2d(pictures, self.side)
        category, broken, factors, *style, pose = self.head(
            self.neck(self.body(pictures * 2 - 1))
        ).split(self.sizes, 1)
        return Logits(category, broken[:, 0], factors, tuple(style), pose)


@dataclass(frozen=True)
class Reading:
    """What is on each picture, as calibrated probabilities.

    category: (n, c). broken: (n,). assumed: (n,) the category whose factors were read. factors: (n, f, v), zero beyond a
    factor's values. style: one (n, values) per style factor. pose: (n, 9) in the units of `render.POSE`.
    """

    category: Float[Tensor, "n c"]
    broken: Float[Tensor, "n"]
    assumed: Int[Tensor, "n"]
    factors: Float[Tensor, "n f v"]
    style: tuple[Float[Tensor, "n _"], ...]
    pose: Float[Tensor, "n 9"]

    def scenes(self) -> Scenes:
        """The most probable scene of each picture (its species is not read: -1)."""
        counts = torch.tensor([len(c.factors) for c in CATEGORIES], device=self.pose.device)[
            self.assumed
        ]
        factors = self.factors.argmax(2)
        factors[torch.arange(factors.shape[1], device=factors.device) >= counts[:, None]] = -1
        style = torch.stack([s.argmax(1) for s in self.style], 1)
        return Scenes(self.assumed, factors, torch.full_like(self.assumed, -1), style, self.pose)


@dataclass(frozen=True)
class Judgement:
    """Row by row: the definitions above. departures: see there. log_prob: true log-probability of the visible factors in nats, averaged
    over the reading's posterior. distance: to the redrawn picture, mean absolute difference of blurred pictures in [0, 1]."""

    reading: Reading
    valid: Bool[Tensor, "n"]
    novel_in_form: Bool[Tensor, "n"]
    novel_in_surface: Bool[Tensor, "n"]
    departures: Int[Tensor, "n s"]
    log_prob: Float[Tensor, "n"]
    distance: Float[Tensor, "n"]


def blurred_distance(
    a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]
) -> Float[Tensor, "n"]:
    """Mean absolute difference after a box blur over a sixteenth of the side, which forgives half a pixel in 64."""
    box = a.shape[-1] // 16
    return (avg_pool2d(a, box, box // 2) - avg_pool2d(b, box, box // 2)).abs().mean((1, 2, 3))


def _outside(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str, structural: bool
) -> Int[Tensor, "n s"]:
    known = truth(category)
    best, value = factors.max(2)
    outside = known.outside(value) & (visible & (best >= SURE)).cpu()[:, None]
    return outside[
        :, :, torch.tensor([f.structural == structural for f in known.category.factors])
    ].sum(2)


def departures(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str
) -> Int[Tensor, "n s"]:
    """How many structural factors, each read with a posterior of at least 0.9, lie outside each species' table."""
    return _outside(factors, visible, category, structural=True)


def novelty(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str
) -> tuple[Bool[Tensor, "n"], Bool[Tensor, "n"]]:
    """Novel in form, and novel in surface only, from posteriors of one category's factors."""
    form, surface = (
        _outside(factors, visible, category, structural) for structural in (True, False)
    )
    in_form = form.amin(1) >= 2
    same_form = form == 0
    in_surface = ~in_form & same_form.any(1) & ~(same_form & (surface == 0)).any(1)
    return in_form, in_surface


def true_log_prob(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str, draws: int = 64
) -> Float[Tensor, "n"]:
    """The truth's log-probability in nats averaged over `draws` samples of the posterior (with a fixed seed)."""
    n, f, v = factors.shape
    generator = torch.Generator().manual_seed(0)
    values = torch.multinomial(
        factors.cpu().flatten(0, 1), draws, replacement=True, generator=generator
    ).view(n, f, draws)
    flat = values.permute(2, 0, 1).reshape(draws * n, f)
    return (
        truth(category)
        .log_prob(flat, visible=visible.cpu().repeat(draws, 1))
        .view(draws, n)
        .mean(0)
    )


class Oracle:
    """A trained net with its calibration: one temperature per kind of output, one distance limit per category."""

    def __init__(
        self,
        net: nn.Module,
        temperatures: dict[str, float],
        limits: dict[str, float],
        broken_limit: float = 0.5,
    ):
        self.net = net.eval().requires_grad_(False)
        self.temperatures = temperatures
        self.limits = limits
        self.broken_limit = broken_limit

    @classmethod
    def load(cls, name: str = "residual", folder: Path = FOLDER) -> "Oracle":
        """The bundled oracle ("residual"), or the second one of another architecture ("mix")."""
        if name not in BODIES:
            raise ValueError(f"name {name!r} is no oracle; expected {', '.join(BODIES)}")
        card = json.loads((folder / f"{name}.json").read_text())
        net = Net(name, card.pop("side", 64))
        net.load_state_dict(
            {
                k: v.float() if v.is_floating_point() else v
                for k, v in load_file(folder / f"{name}.safetensors").items()
            }
        )
        return cls(net, **card)

    @torch.no_grad()
    def read(self, pictures: Float[Tensor, "n 3 h w"], category: str | None = None) -> Reading:
        """Read pictures in [0, 1]. `category` None takes each picture's most probable one."""
        logits = self.net(pictures)
        t = self.temperatures
        found = (logits.category / t["category"]).softmax(1)
        assumed = (
            found.argmax(1)
            if category is None
            else torch.full_like(found.argmax(1), [c.name for c in CATEGORIES].index(category))
        )
        factors = (of_category(logits.factors, assumed) / t["factors"]).softmax(2)
        low, high = torch.tensor(list(POSE.values()), device=pictures.device).T
        pose = low + (high - low) * (logits.pose.clamp(-1, 1) + 1) / 2
        return Reading(
            found,
            (logits.broken / t["broken"]).sigmoid(),
            assumed,
            factors,
            tuple((s / t["style"]).softmax(1) for s in logits.style),
            pose,
        )

    @torch.no_grad()
    def judge(self, pictures: Float[Tensor, "n 3 h w"], category: str) -> Judgement:
        """Judge pictures that are meant to show a member of `category`."""
        reading = self.read(pictures, category)
        i = [c.name for c in CATEGORIES].index(category)
        scenes = reading.scenes()
        count = len(CATEGORIES[i].factors)
        visible = torch.ones(len(pictures), count, dtype=torch.bool, device=pictures.device)
        visible[:, -1] = styles.color_visible(
            scenes.style
        )  # colour is every category's last factor
        factors = reading.factors[:, :count]
        distance = blurred_distance(pictures, draw(scenes, pictures.shape[-1]))
        valid = (
            (reading.category[:, i] >= SURE)
            & (reading.broken < self.broken_limit)
            & (distance <= self.limits[category])
        )
        in_form, in_surface = novelty(factors, visible, category)
        return Judgement(
            reading,
            valid.cpu(),
            in_form,
            in_surface,
            departures(factors, visible, category),
            true_log_prob(factors, visible, category),
            distance.cpu(),
        )

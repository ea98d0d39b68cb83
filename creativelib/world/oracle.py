"""The oracle: it reads the factors off a picture and judges them against the truth.

*Valid*: the category's posterior is at least 0.9, the picture is not broken, and the picture
redrawn from the read factors and pose is as close as for 99 % of decoded typical pictures.
*Novel in form*: for every species, at least two structural factors, each read with a posterior of
at least 0.9, lie outside its table.
*Novel in surface only*: not novel in form, and only color or pattern lies outside.
Nothing is ever optimized against the oracle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from ..errors import InputError, one_of, shown, whole
from ..pictures import check_pictures
from ..reading import read_json, refusing, verify
from ..seeds import seeded
from ..sharing import normal_tensors
from . import CATEGORIES, styles, truth
from . import category as find_category
from .rendering import POSE
from .scenes import MAX_FACTORS, Scenes, draw

# Least posterior of a reading that counts as certain.
SURE = 0.9
FOLDER = Path(__file__).parent.parent / "checkpoints" / "menagerie" / "oracle"
STYLE_SIZES = [len(values) for values in styles.FACTORS.values()]
# Kinds of outputs that have a temperature.
KINDS = ("category", "factors", "broken", "style")
LARGE = 1e6  # a temperature or a limit is smaller
MAX_VALUES = max(len(f.values) for c in CATEGORIES for f in c.factors)


@cache
@normal_tensors()
def slots() -> Int[Tensor, "c f v"]:
    """Index the output of each value of each factor of each category.

    The index is one past the last output where a factor has no such value.
    """
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
    """Pick the logits of the factors of each row's category out of those of all (see `slots`).

    Where a factor has no such value, the logit is -1e4.
    """
    padded = torch.cat([factors.float(), factors.new_full((len(category), 1), -1e4).float()], 1)
    index = slots().to(category.device)[category]
    return padded.gather(1, index.flatten(1)).view(index.shape)


@dataclass(frozen=True)
class Logits:
    """Raw outputs of a net for n pictures."""

    # (n, c) logits of the categories.
    category: Float[Tensor, "n c"]
    # (n,) logit that the picture is broken.
    broken: Float[Tensor, "n"]
    # (n, v) logits of every value of every category, see `slots`.
    factors: Float[Tensor, "n v"]
    # One (n, values) tensor of logits for each style factor.
    style: tuple[Float[Tensor, "n _"], ...]
    # (n, 9) pose, scaled so that the ranges of `rendering.POSE` are -1..1.
    pose: Float[Tensor, "n 9"]


class Residual(nn.Module):
    """A residual block of two convolutions."""

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
        """Map (n, width, h, w) features to the same shape."""
        return torch.relu(x + self.body(x))


class Mix(nn.Module):
    """A network over the places of each channel, then one over the channels of each place.

    This is the block of MLP-Mixer (Tolstikhin et al. 2021).
    """

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
        """Map (n, places, width) features to the same shape."""
        x = x + self.over_places(x)
        return x + self.over_channels(x)


class Swap(nn.Module):
    """A transposition from places by channels to channels by places, or back."""

    def forward(self, x: Tensor) -> Tensor:
        """Swap the last two axes of (n, a, b) features."""
        return x.transpose(1, 2)


def _down(before: int, after: int, size: int) -> nn.Sequential:
    """Build a convolution with filters of `size` that halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride=2, padding=(size - 1) // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


BODIES: dict[str, Callable[[], nn.Sequential]] = {
    "residual": lambda: nn.Sequential(
        _down(3, 32, size=3),
        Residual(32),
        _down(32, 64, size=3),
        Residual(64),
        _down(64, 112, size=3),
        Residual(112),
        nn.Conv2d(112, 20, 1),
    ),
    "mix": lambda: nn.Sequential(
        _down(3, 32, size=3),
        _down(32, 96, size=3),
        _down(96, 128, size=3),
        nn.Flatten(2),
        Swap(),
        *(Mix(64, 128) for _ in range(3)),
        nn.LayerNorm(128),
        nn.Linear(128, 20),
    ),
}
# For pictures of 128 pixels. The first filters are larger and work at half the resolution, which
# keeps the finer detail of such pictures.
LARGE_BODIES: dict[str, Callable[[], nn.Sequential]] = {
    "residual": lambda: nn.Sequential(
        _down(3, 24, size=5),
        _down(24, 48, size=3),
        Residual(48),
        _down(48, 96, size=3),
        Residual(96),
        _down(96, 160, size=3),
        Residual(160),
        Residual(160),
        nn.Conv2d(160, 32, 1),
    ),
    "mix": lambda: nn.Sequential(
        _down(3, 24, size=5),
        _down(24, 64, size=3),
        _down(64, 128, size=3),
        _down(128, 192, size=3),
        nn.Flatten(2),
        Swap(),
        *(Mix(64, 192) for _ in range(4)),
        nn.LayerNorm(192),
        nn.Linear(192, 32),
    ),
}
# Number of places in the last features of every body.
PLACES = 64


class Net(nn.Module):
    """A network from pictures (n, 3, side, side) in [0, 1] to logits.

    `body` is "residual" or "mix", and `side` is 64 or 128. The network reduces larger pictures to
    its side by averaging over areas.
    """

    def __init__(self, body: str, side: int = 64):
        super().__init__()
        self.side = side
        self.sizes = [len(CATEGORIES), 1, int(slots().max()), *STYLE_SIZES, len(POSE)]
        small = side == 64
        self.body = (BODIES if small else LARGE_BODIES)[body]()
        width = 20 if small else 32
        neck_width = 176 if small else 320
        self.neck = nn.Sequential(
            nn.Flatten(), nn.ReLU(), nn.Linear(width * PLACES, neck_width), nn.ReLU()
        )
        self.head = nn.Linear(neck_width, sum(self.sizes))

    def forward(self, pictures: Float[Tensor, "n 3 h w"]) -> Logits:
        """Read pictures in [0, 1]. Raises InputError unless they are squares of at least `side`."""
        h, w = pictures.shape[-2:]
        if h != w or w < self.side:
            raise InputError(
                f"pictures is of {w} x {h} pixels; expected squares of at least {self.side} x "
                f"{self.side}"
            )
        if pictures.shape[-1] > self.side:
            pictures = adaptive_avg_pool2d(pictures, self.side)
        outputs = self.head(self.neck(self.body(pictures * 2 - 1)))
        category, broken, factors, *style, pose = outputs.split(self.sizes, 1)
        return Logits(
            category=category,
            broken=broken[:, 0],
            factors=factors,
            style=tuple(style),
            pose=pose,
        )


@dataclass(frozen=True)
class Reading:
    """Calibrated probabilities of the content of n pictures."""

    # (n, c) posteriors of the categories.
    category: Float[Tensor, "n c"]
    # (n,) probability that the picture is broken.
    broken: Float[Tensor, "n"]
    # (n,) index of the category whose factors were read.
    assumed: Int[Tensor, "n"]
    # (n, f, v) posteriors of the factors' values, zero beyond a factor's values.
    factors: Float[Tensor, "n f v"]
    # One (n, values) tensor of posteriors for each style factor.
    style: tuple[Float[Tensor, "n _"], ...]
    # (n, 9) pose in the units of `rendering.POSE`.
    pose: Float[Tensor, "n 9"]

    def scenes(self) -> Scenes:
        """Return the most probable scene of each picture.

        The oracle does not read the species, which are all -1.
        """
        counts = torch.tensor([len(c.factors) for c in CATEGORIES], device=self.pose.device)
        factors = self.factors.argmax(2)
        columns = torch.arange(factors.shape[1], device=factors.device)
        factors[columns >= counts[self.assumed][:, None]] = -1
        return Scenes(
            category=self.assumed,
            factors=factors,
            species=torch.full_like(self.assumed, -1),
            style=torch.stack([s.argmax(1) for s in self.style], 1),
            pose=self.pose,
        )


@dataclass(frozen=True)
class Judgement:
    """Judgments of n pictures by the definitions at the top of this module.

    All tensors except the reading's are on the CPU.
    """

    reading: Reading
    # (n,) whether the picture is valid.
    valid: Bool[Tensor, "n"]
    # (n,) whether it is novel in form.
    novel_in_form: Bool[Tensor, "n"]
    # (n,) whether it is novel in surface only.
    novel_in_surface: Bool[Tensor, "n"]
    # (n, s) number of structural factors outside each species' table, see `departures`.
    departures: Int[Tensor, "n s"]
    # (n,) true log-probability of the visible factors in nats, averaged over the posterior.
    log_prob: Float[Tensor, "n"]
    # (n,) distance to the redrawn picture, see `blurred_distance`.
    distance: Float[Tensor, "n"]


def blurred_distance(
    a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]
) -> Float[Tensor, "n"]:
    """Compute the mean absolute difference of pictures in [0, 1] after a box blur.

    The box is a sixteenth of the side, which forgives shifts of half a pixel in 64.
    """
    box = a.shape[-1] // 16
    return (avg_pool2d(a, box, box // 2) - avg_pool2d(b, box, box // 2)).abs().mean((1, 2, 3))


def _outside(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str, structural: bool
) -> Int[Tensor, "n s"]:
    """Count the certain factors of one kind, structural or not, outside each species' table."""
    mixture = truth(category)
    best, value = factors.max(2)
    outside = mixture.outside(value) & (visible & (best >= SURE)).cpu()[:, None]
    columns = torch.tensor([f.structural == structural for f in mixture.category.factors])
    return outside[:, :, columns].sum(2)


def departures(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str
) -> Int[Tensor, "n s"]:
    """Count the structural factors outside each species' table.

    A factor counts if it is visible and read with a posterior of at least 0.9. `factors` holds the
    posteriors of one category's factors.
    """
    return _outside(factors, visible=visible, category=category, structural=True)


def novelty(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str
) -> tuple[Bool[Tensor, "n"], Bool[Tensor, "n"]]:
    """Tell which pictures are novel in form and which in surface only.

    `factors` holds the posteriors of one category's factors.
    """
    form = _outside(factors, visible=visible, category=category, structural=True)
    surface = _outside(factors, visible=visible, category=category, structural=False)
    in_form = form.amin(1) >= 2
    same_form = form == 0
    in_surface = ~in_form & same_form.any(1) & ~(same_form & (surface == 0)).any(1)
    return in_form, in_surface


def true_log_prob(
    factors: Float[Tensor, "n f v"], visible: Bool[Tensor, "n f"], category: str, draws: int = 64
) -> Float[Tensor, "n"]:
    """Average the true log-probability, in nats, over `draws` samples of the posterior.

    The seed is fixed. Factors that are not visible are summed out. Raises InputError for no draws.
    """
    whole("draws", draws, 1)
    n, f, v = factors.shape
    generator = seeded(0)
    values = torch.multinomial(
        factors.cpu().flatten(0, 1), draws, replacement=True, generator=generator
    ).view(n, f, draws)
    flat = values.permute(2, 0, 1).reshape(draws * n, f)
    log_prob = truth(category).log_prob(flat, visible=visible.cpu().repeat(draws, 1))
    return log_prob.view(draws, n).mean(0)


class Oracle:
    """A trained net with its calibration.

    The calibration has one temperature for each kind of output, one limit of the distance for each
    category, and a limit of the probability that a picture is broken.
    """

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
    @normal_tensors()
    def load(cls, name: str = "residual", folder: Path = FOLDER) -> "Oracle":
        """Load the bundled oracle ("residual") or the second one of another architecture ("mix").

        Raises InputError if there is no oracle of that name, and for damaged files.
        """
        one_of("name", name, BODIES)
        if folder == FOLDER:
            verify(FOLDER.parent, FOLDER.name)
        file = folder / f"{name}.safetensors"
        card = _read_card(folder / f"{name}.json")
        net = Net(name, card.pop("side", 64))
        with refusing(f"file {str(file)!r}"):
            weights = load_file(file)
            net.load_state_dict(
                {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
            )
        return cls(net, **card)

    @torch.no_grad()
    def read(self, pictures: Float[Tensor, "n 3 h w"], category: str | None = None) -> Reading:
        """Read pictures in [0, 1].

        If `category` is None, each picture's factors are those of its most probable category.
        Raises InputError for an unknown category, for values out of [0, 1], and for pictures that
        are not squares of at least the net's side.
        """
        check_pictures(pictures)
        index = None if category is None else CATEGORIES.index(find_category(category))
        logits = self.net(pictures)
        t = self.temperatures
        posterior = (logits.category / t["category"]).softmax(1)
        assumed = posterior.argmax(1)
        if index is not None:
            assumed = torch.full_like(assumed, index)
        factors = (of_category(logits.factors, assumed) / t["factors"]).softmax(2)
        low, high = torch.tensor(list(POSE.values()), device=pictures.device).T
        pose = low + (high - low) * (logits.pose.clamp(-1, 1) + 1) / 2
        return Reading(
            category=posterior,
            broken=(logits.broken / t["broken"]).sigmoid(),
            assumed=assumed,
            factors=factors,
            style=tuple((s / t["style"]).softmax(1) for s in logits.style),
            pose=pose,
        )

    @torch.no_grad()
    def judge(self, pictures: Float[Tensor, "n 3 h w"], category: str) -> Judgement:
        """Judge pictures that are meant to show a member of `category`.

        Raises InputError as `read` does.
        """
        reading = self.read(pictures, category)
        i = CATEGORIES.index(find_category(category))
        scenes = reading.scenes()
        count = len(CATEGORIES[i].factors)
        visible = torch.ones(len(pictures), count, dtype=torch.bool, device=pictures.device)
        # The color is every category's last factor.
        visible[:, -1] = styles.color_visible(scenes.style)
        factors = reading.factors[:, :count]
        distance = blurred_distance(pictures, draw(scenes, pictures.shape[-1]))
        valid = (
            (reading.category[:, i] >= SURE)
            & (reading.broken < self.broken_limit)
            & (distance <= self.limits[category])
        )
        in_form, in_surface = novelty(factors, visible, category)
        return Judgement(
            reading=reading,
            valid=valid.cpu(),
            novel_in_form=in_form,
            novel_in_surface=in_surface,
            departures=departures(factors, visible, category),
            log_prob=true_log_prob(factors, visible, category),
            distance=distance.cpu(),
        )


def _read_card(file: Path) -> dict[str, Any]:
    """Read an oracle's calibration. Raises InputError for anything else."""
    card = read_json(file)
    tables = {"temperatures": KINDS, "limits": [category.name for category in CATEGORIES]}
    numbers = [card.get("broken_limit", 0.5)]
    for key, names in tables.items():
        values = card.get(key)
        if not isinstance(values, dict) or set(values) != set(names):
            raise InputError(
                f"file {str(file)!r} has {key} {shown(values)}; expected {', '.join(names)}"
            )
        numbers += values.values()
    unknown = set(card) - {*tables, "broken_limit", "side"}
    if unknown or card.get("side", 64) not in (64, 128):
        odd = ", ".join(sorted(unknown))[:60] or shown(card["side"])
        raise InputError(
            f"file {str(file)!r} has {odd}; expected {', '.join(tables)}, broken_limit, and a side "
            "of 64 or 128"
        )
    if not all(type(x) in (int, float) and 0 < x < LARGE for x in numbers):
        raise InputError(f"file {str(file)!r} has {shown(numbers)}; expected numbers above 0")
    return card

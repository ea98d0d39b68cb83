"""Styles: points in a small space of discrete style factors, and the last step of drawing.

Six of the points have names.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..errors import one_of

FACTORS: dict[str, tuple[str, ...]] = {
    "ground": ("scene", "paper", "night", "blue", "dots"),
    "fill": ("solid", "wash", "gray", "empty"),
    "ink": ("strong", "faint", "glow"),
    "weight": ("thin", "medium", "thick"),
    "edge": ("crisp", "soft"),
}
NAMES: dict[str, tuple[str, ...]] = {
    "photo": ("scene", "solid", "strong", "medium", "crisp"),
    "pencil sketch": ("paper", "gray", "faint", "thin", "crisp"),
    "watercolor painting": ("paper", "wash", "faint", "thin", "soft"),
    "neon sign": ("night", "empty", "glow", "medium", "soft"),
    "blueprint": ("blue", "empty", "strong", "thin", "crisp"),
    "pop art": ("dots", "solid", "strong", "thick", "crisp"),
}
# Half the width of outlines in the subject's frame.
LINE = {"thin": 0.020, "medium": 0.030, "thick": 0.050}
# Pixels over which an edge blends.
SOFTNESS = {"crisp": 1.0, "soft": 2.2}


def index(name: str) -> list[int]:
    """Return the style factors of a named style as indices.

    Raises InputError for an unknown name.
    """
    one_of("style", name, NAMES)
    return [values.index(v) for values, v in zip(FACTORS.values(), NAMES[name], strict=True)]


def color_visible(style: Int[Tensor, "n 5"]) -> Tensor:
    """Tell whether each style shows the subject's color.

    A style shows it if it fills with the color or draws in glowing ink of the color. Returns (n,)
    booleans.
    """
    fill = style[:, 1]
    ink = style[:, 2]
    return (fill <= 1) | (ink == FACTORS["ink"].index("glow"))


@dataclass(frozen=True)
class Ground:
    """The picture behind the subject."""

    picture: Float[Tensor, "n 3 h w"]
    # 1 where the ground is dark, so that ink must be light; otherwise 0.
    dark: Float[Tensor, "n 1 1 1"]


def ground(
    style: Int[Tensor, "n 5"], background: Float[Tensor, "n 3"], screen: Float[Tensor, "h w 2"]
) -> Ground:
    """Draw the ground behind the subject.

    `background` (n, 3) in [0, 1] tints it. `screen` holds points in -1..1, y up.
    """
    picture = background.new_empty(len(style), 3, *screen.shape[:2])
    x, y = screen.unbind(-1)
    for i, kind in enumerate(FACTORS["ground"]):
        rows = (style[:, 0] == i).nonzero()[:, 0]
        tint = background[rows, :, None, None]
        picture[rows] = _ground(kind, tint=tint, x=x, y=y).clamp(0, 1)
    dark = ((style[:, 0] == 2) | (style[:, 0] == 3)).to(picture)[:, None, None, None]
    return Ground(picture, dark)


def _ground(
    kind: str, tint: Float[Tensor, "m 3 1 1"], x: Float[Tensor, "h w"], y: Float[Tensor, "h w"]
) -> Float[Tensor, "m 3 h w"]:
    match kind:
        case "scene":
            return tint * (1 + 0.06 * y - (y < -0.62).to(y) * 0.10)
        case "paper":
            return (0.93 + 0.05 * tint).expand(-1, -1, *y.shape)
        case "night":
            return (0.05 + 0.07 * tint).expand(-1, -1, *y.shape)
        case "blue":
            cell = 0.25
            across = (x - cell * (x / cell).round()).abs()
            along = (y - cell * (y / cell).round()).abs()
            lines = torch.minimum(across, along)
            paper = tint.new_tensor([0.13, 0.30, 0.62])[:, None, None] * (0.85 + 0.25 * tint)
            return paper + 0.10 * (0.016 - lines).clamp_min(0) / 0.016
        case _:
            row = (y / 0.22).round()
            u = x - 0.11 * (row % 2)
            distance = ((u - 0.22 * (u / 0.22).round()).square() + (y - 0.22 * row).square()).sqrt()
            spot = (0.5 - (distance - 0.062) / 0.03).clamp(0, 1)
            return (0.25 + 0.75 * tint) + (1 - tint) * 0.75 * spot


def _fill(
    kind: str, paint: Tensor, mark: Tensor, base: Tensor, dark: Tensor
) -> Float[Tensor, "m 3 h w"]:
    match kind:
        case "solid":
            return paint
        case "wash":
            return base + 0.62 * (paint - base)
        case "gray":
            gray = (paint * paint.new_tensor([0.3, 0.59, 0.11])[:, None, None]).sum(1, keepdim=True)
            tone = torch.where(dark > 0, 0.10 + 0.45 * gray, 0.62 + 0.36 * gray)
            return (tone - 0.16 * mark * (1 - 2 * dark)).expand_as(paint)
        case _:
            return base + 0.30 * mark * torch.where(dark > 0, 1 - base, -base)


def _line(kind: str, paint: Tensor, base: Tensor, dark: Tensor) -> Float[Tensor, "m 3 h w"]:
    tone = torch.where(dark > 0, 0.96, 0.10)
    match kind:
        case "strong":
            return tone.expand_as(paint)
        case "faint":
            return 0.5 * base + 0.5 * tone
        case _:
            return torch.where(dark > 0, 0.15 + 0.85 * paint, paint * 0.75)


def compose(
    layers: Float[Tensor, "n 6 h w"], style: Int[Tensor, "n 5"], behind: Ground
) -> Float[Tensor, "n 3 h w"]:
    """Turn painted layers into pictures in [0, 1].

    The layers are paint (three channels), cover, ink and mark; see `Canvas`. `behind` is the ground
    under them.
    """
    paint, cover, ink, mark = layers.split([3, 1, 1, 1], 1)
    base = behind.picture
    dark = behind.dark
    fill = torch.empty_like(paint)
    line = torch.empty_like(paint)
    for i, kind in enumerate(FACTORS["fill"]):
        rows = (style[:, 1] == i).nonzero()[:, 0]
        fill[rows] = _fill(
            kind, paint=paint[rows], mark=mark[rows], base=base[rows], dark=dark[rows]
        )
    for i, kind in enumerate(FACTORS["ink"]):
        rows = (style[:, 2] == i).nonzero()[:, 0]
        line[rows] = _line(kind, paint=paint[rows], base=base[rows], dark=dark[rows])
    picture = base + cover * (fill - base)
    picture = picture + ink * (line - picture)
    glows = (style[:, 2] == FACTORS["ink"].index("glow")) & (dark[:, 0, 0, 0] > 0)
    rows = glows.nonzero()[:, 0]
    halo = avg_pool2d(avg_pool2d((ink * line)[rows], 5, 1, 2), 5, 1, 2)
    picture[rows] += 0.55 * halo * (1 - ink[rows])
    return picture.clamp(0, 1)

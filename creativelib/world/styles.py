"""Styles: points in a small space of discrete style factors, six of them named, and the last step of drawing."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d

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
LINE = {"thin": 0.020, "medium": 0.030, "thick": 0.050}
SOFTNESS = {"crisp": 1.0, "soft": 2.2}


def index(name: str) -> list[int]:
    """The style factors of a named style as indices."""
    return [values.index(v) for values, v in zip(FACTORS.values(), NAMES[name], strict=True)]


def color_visible(style: Int[Tensor, "n 5"]) -> Tensor:
    """Whether a style shows the subject's colour: filled with it, or drawn in glowing ink of that colour."""
    fill, ink = style[:, 1], style[:, 2]
    return (fill <= 1) | (ink == FACTORS["ink"].index("glow"))


@dataclass(frozen=True)
class Ground:
    picture: Float[Tensor, "n 3 h w"]
    dark: Float[Tensor, "n 1 1 1"]  # 1 where ink must be light


def ground(style: Int[Tensor, "n 5"], background: Float[Tensor, "n 3"], screen: Float[Tensor, "h w 2"]) -> Ground:
    """What lies behind the subject. `background` (n, 3) in [0, 1] tints it; `screen` holds points in -1..1, y up."""
    x, y = screen[..., 0], screen[..., 1]
    tint = background[:, :, None, None]
    floor = (y < -0.62).to(y) * 0.10
    scene = tint * (1 + 0.06 * y - floor)
    paper = (0.93 + 0.05 * tint) * torch.ones_like(y)
    night = (0.05 + 0.07 * tint) * torch.ones_like(y)
    cell = 0.25
    lines = torch.minimum((x - cell * (x / cell).round()).abs(), (y - cell * (y / cell).round()).abs())
    blue = tint.new_tensor([0.13, 0.30, 0.62])[None, :, None, None] * (0.85 + 0.25 * tint) + 0.10 * (0.016 - lines).clamp_min(0) / 0.016
    row = (y / 0.22).round()
    u = x - 0.11 * (row % 2)
    spot = (0.5 - ((u - 0.22 * (u / 0.22).round()).square() + (y - 0.22 * row).square()).sqrt().sub(0.062) / 0.03).clamp(0, 1)
    dots = (0.25 + 0.75 * tint) + (1 - tint) * 0.75 * spot
    grounds = torch.stack([scene, paper, night, blue, dots], 1)
    picture = grounds[torch.arange(len(style)), style[:, 0]].clamp(0, 1)
    dark = ((style[:, 0] == 2) | (style[:, 0] == 3)).to(picture)[:, None, None, None]
    return Ground(picture, dark)


def compose(layers: dict[str, Tensor], style: Int[Tensor, "n 5"], behind: Ground) -> Float[Tensor, "n 3 h w"]:
    """Turn painted layers into pictures in [0, 1]."""
    paint, cover, ink, mark = layers["paint"], layers["cover"][:, None], layers["ink"][:, None], layers["mark"][:, None]
    base, dark = behind.picture, behind.dark
    gray = (paint * paint.new_tensor([0.3, 0.59, 0.11])[None, :, None, None]).sum(1, keepdim=True).expand_as(paint)
    fills = torch.stack([
        paint,
        base + 0.62 * (paint - base),
        torch.where(dark > 0, 0.10 + 0.45 * gray, 0.62 + 0.36 * gray) - 0.16 * mark * (1 - 2 * dark),
        base + (0.30 - 0.30 * (1 - dark)) * mark * (1 - base) - 0.30 * (1 - dark) * mark * base,
    ], 1)
    rows = torch.arange(len(style))
    picture = base + cover * (fills[rows, style[:, 1]] - base)
    glow = 0.30 + 0.70 * paint / paint.amax(1, keepdim=True).clamp_min(0.35)
    tone = torch.where(dark > 0, 0.96, 0.10)
    inks = torch.stack([tone.expand_as(paint), (0.5 * base + 0.5 * tone), torch.where(dark > 0, glow, paint * 0.75)], 1)
    line = inks[rows, style[:, 2]]
    picture = picture + ink * (line - picture)
    shining = ((style[:, 2] == 2)[:, None, None, None] & (dark > 0)).to(ink)
    halo = avg_pool2d(avg_pool2d(ink * line, 5, 1, 2), 5, 1, 2) * shining
    return (picture + 0.55 * halo * (1 - ink)).clamp(0, 1)

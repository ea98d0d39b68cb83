"""Buildings: walls under a roof, with a door, windows, something on top and something in front.

All walls stand on y = `GROUND`, and a roof sits at `TOP` on walls of half width `HALF`. A roof's
height, `RISE`, does not depend on its width. So the place of a flag or a lantern (`_apex`) is the
sum of one number of the walls and one of the roof.
"""

import math

import torch

from .. import shapes as s
from ..canvas import Canvas, Color
from ..factors import COLOR, Factor
from ..plan import Category

WALLS = Factor(
    "walls",
    {
        "square": "square walls",
        "tower": "tower walls",
        "long": "long walls",
        "stepped": "stepped walls",
        "round": "round walls",
        "twin": "twin towers",
    },
)
ROOF = Factor(
    "roof",
    {
        "gable": "a gable roof",
        "battlements": "battlements",
        "dome": "a dome",
        "spire": "a spire",
        "onion": "an onion roof",
        "curved": "a curved roof",
    },
)
DOOR = Factor(
    "door",
    {
        "arched": "an arched door",
        "square": "a square door",
        "double": "a double door",
        "tunnel": "a tunnel door",
    },
)
WINDOWS = Factor(
    "windows",
    {
        "none": "no windows",
        "square": "square windows",
        "round": "round windows",
        "tall": "tall windows",
    },
)
TOPPING = Factor(
    "topping",
    {
        "none": "nothing on top",
        "chimney": "a chimney",
        "flag": "a flag",
        "cross": "a cross",
        "sails": "sails",
        "beacon": "a beacon",
    },
)
FRONT = Factor("front", {"bare": "a bare front", "columns": "columns", "fence": "a fence"})
PATTERN = Factor(
    "pattern", {"plain": "plain", "brick": "brick", "striped": "striped"}, structural=False
)

GROUND = -0.72
HALF = {"square": 0.54, "tower": 0.29, "long": 0.80, "stepped": 0.24, "round": 0.53, "twin": 0.38}
TOP = {"square": 0.08, "tower": 0.18, "long": -0.04, "stepped": 0.20, "round": 0.04, "twin": -0.02}
EAVES = {"square": 0.13, "tower": 0.13, "long": 0.04, "stepped": 0.13, "round": 0.12, "twin": 0.0}
RISE = {
    "gable": 0.38,
    "battlements": 0.17,
    "dome": 0.30,
    "spire": 0.40,
    "onion": 0.38,
    "curved": 0.34,
}
# The side towers of "twin": x of the middle, half width, y of the top, and scale of the roof.
SIDE = 0.62
SIDE_HALF = 0.19
SIDE_TOP = 0.18
SIDE_SCALE = 0.75
# Half widths and tops of the lower steps of "stepped".
TIERS = ((0.58, -0.28), (0.40, 0.06))
# Center and radii of "round". A dome on it continues the same outline.
EGG = ((0.0, -0.48), (0.68, 0.82))

WOOD = (0.52, 0.31, 0.17)
GLASS = (0.70, 0.89, 0.98)
CREAM = (0.97, 0.94, 0.86)
LIGHT = (1.0, 0.86, 0.30)
TILES = (0.80, 0.36, 0.25)
SLATE = (0.31, 0.40, 0.58)
GOLD = (0.96, 0.74, 0.22)
JADE = (0.16, 0.52, 0.47)


def _rect(p: s.Points, xy: s.XY, half: s.XY) -> s.Distance:
    """Compute the distance to a box with sharp corners, faster than `shapes.box`."""
    return torch.maximum((p[..., 0] - xy[0]).abs() - half[0], (p[..., 1] - xy[1]).abs() - half[1])


def _block(p: s.Points, half: float, top: float) -> s.Distance:
    return _rect(p, (0, (top + GROUND) / 2), (half, (top - GROUND) / 2))


def _triangle(p: s.Points, half: float, low: float, high: float) -> s.Distance:
    """Compute the distance to a symmetric triangle on y = `low` with sharp corners."""
    h = high - low
    sides = ((p[..., 0].abs() - half) * h + (p[..., 1] - low) * half) / math.hypot(h, half)
    return torch.maximum(sides, low - p[..., 1])


def _arch(p: s.Points, half: float, height: float) -> s.Distance:
    """Compute the distance to a doorway from the ground with a round top."""
    straight = height - half
    return s.union(
        _block(p, half, GROUND + straight),
        s.intersect(s.circle(p, (0, GROUND + straight), half), GROUND - p[..., 1]),
    )


def _walls(c: Canvas) -> None:
    for walls, w in c.by("walls"):
        p = w.p
        half = HALF[walls]
        top = TOP[walls]
        match walls:
            case "tower":
                d = s.intersect(
                    _triangle(p, 0.42, GROUND, high=GROUND + 0.42 * (top - GROUND) / (0.42 - half)),
                    p[..., 1] - top,
                )
            case "round":
                d = s.intersect(s.ellipse(p, *EGG), GROUND - p[..., 1], p[..., 1] - top)
            case _:
                d = _block(p, half, top)
        w.paint(d)
        if walls == "stepped":
            for tier in TIERS[::-1]:
                lower = _block(p, *tier)
                w.paint(lower)
                d = s.union(d, lower)
        if walls == "twin":
            side = _block(s.move(s.mirror(p), (SIDE, 0)), SIDE_HALF, SIDE_TOP)
            w.paint(side)
            d = s.union(d, side)
        w.keep("body", d)


def _bricks(p: s.Points) -> s.Distance:
    row = torch.floor(p[..., 1] / 0.18)
    beds = (p[..., 1] - 0.18 * torch.round(p[..., 1] / 0.18)).abs()
    x = p[..., 0] - 0.17 * (row % 2)
    return torch.minimum(beds, (x - 0.34 * torch.round(x / 0.34)).abs()) - 0.02


def _pattern(c: Canvas) -> None:
    for b in c.where("pattern", "brick"):
        b.pattern(s.intersect(b.shape("body") + 0.03, _bricks(b.p)))
    for b in c.where("pattern", "striped"):
        light = (b.color @ b.color.new_tensor([0.3, 0.59, 0.11]) > 0.68)[:, None]
        color = torch.where(light, b.shade(-0.4), b.shade(0.8))
        b.pattern(
            s.intersect(b.shape("body") + 0.03, s.stripes(b.p, 0.30, degrees=90, share=0.42)), color
        )


def _curved(p: s.Points, half: float, foot: float, top: float) -> s.Distance:
    """Compute the distance to an eastern roof with tips that turn up.

    It is flat up to `foot` from the middle and sags from there to the tips at `half`.
    """
    x = p[..., 0].abs()
    y = p[..., 1]
    u = ((x - foot) / (half - foot)).clamp_min(0)
    slope = 2 * (0.12 * u - top * (1 - u).clamp_min(0) * (u > 0)) / (half - foot)
    above = (y - top * (1 - u).square() - 0.12 * u.square()) / (1 + slope.square()).sqrt()
    return s.intersect(above, 0.8 * ((x - half + 0.14).clamp_min(0) - 0.04 - y), x - half)


def _roof(
    roof: str, p: s.Points, half: float, eaves: float
) -> list[tuple[s.Distance, Color | None]]:
    """List the parts of a roof and their colors, None for the main color.

    The top edge of the walls is at the origin of `p`.
    """
    h = RISE[roof]
    e = half + eaves
    match roof:
        case "gable":
            return [(_triangle(p, e, -0.05, high=h), TILES)]
        case "battlements":
            e = half + 0.05
            teeth = s.stripes(p, 2 * e / (4.55 if half > 0.4 else 2.55), degrees=0, share=0.55)
            return [
                (
                    s.union(
                        _rect(p, (0, 0.02), (e, 0.06)),
                        s.intersect(_rect(p, (0, h / 2), (e, h / 2)), teeth),
                    ),
                    None,
                )
            ]
        case "dome":
            x = min(half, 0.55)
            parts: list[tuple[s.Distance, Color | None]] = [
                (s.intersect(s.ellipse(p, (0, -0.02), (x, h)), -0.02 - p[..., 1]), None)
            ]
            return parts + [(_rect(p, (0, 0), (half + 0.05, 0.05)), None)] * (half > x)
        case "spire":
            x = min(0.32, 0.85 * half)
            return [
                (_triangle(p, x, 0, high=h + 0.08), SLATE),
                (_rect(p, (0, 0), (half + 0.05, 0.055)), SLATE),
            ]
        case "onion":
            x = min(0.28, 0.9 * half)
            bulb = s.union(
                s.ellipse(p, (0, 0.19), (x, 0.16)),
                _triangle(p, 0.78 * x, 0.26, high=h + 0.08),
                _rect(p, (0, 0.05), (0.6 * x, 0.06)),
            )
            return [(bulb, GOLD), (_rect(p, (0, 0), (half + 0.05, 0.05)), GOLD)]
        case _:
            return [(_curved(p, e, 0.2 * e, top=h), JADE)]


def _roofs(c: Canvas) -> None:
    for roof, part in c.by("roof"):
        for walls, r in part.by("walls"):
            parts = _roof(roof, s.move(r.p, (0, TOP[walls])), HALF[walls], eaves=EAVES[walls])
            if walls == "round" and roof == "dome":
                parts = [(s.intersect(s.ellipse(r.p, *EGG), GROUND - r.p[..., 1]), None)]
            if walls == "twin":
                p = s.move(s.mirror(r.p), (SIDE, SIDE_TOP)) / SIDE_SCALE
                parts += [
                    (SIDE_SCALE * d, color)
                    for d, color in _roof(roof, p, SIDE_HALF / SIDE_SCALE, eaves=0.05)
                ]
            if walls == "stepped" and roof == "curved":
                parts += [
                    (_curved(s.move(r.p, (0, top)), half + 0.11, half - 0.1, top=0.09), JADE)
                    for half, top in TIERS
                ]
            for d, color in parts:
                r.paint(d, color)
            if roof == "dome":
                r.keep("body", s.union(r.shape("body"), *(d for d, _ in parts)))


def _windows(c: Canvas) -> None:
    c.put(
        "window",
        "walls",
        {
            "square": (0.28, -0.11),
            "tower": (0, -0.07),
            "long": (0.53, -0.36),
            "stepped": (0.19, -0.10),
            "round": (0.27, -0.13),
            "twin": (SIDE, -0.14),
        },
    )
    for windows, w in c.by("windows"):
        p = s.mirror(w.p) + w.at("window") - w.p
        match windows:
            case "square":
                w.paint(_rect(p, (0, 0), (0.115, 0.115)), GLASS)
            case "round":
                w.paint(s.circle(p, (0, 0), 0.125), GLASS)
            case "tall":
                w.paint(
                    s.union(_rect(p, (0, -0.045), (0.07, 0.12)), s.circle(p, (0, 0.075), 0.07)),
                    GLASS,
                )


def _door(c: Canvas) -> None:
    for door, b in c.by("door"):
        p = b.p
        match door:
            case "arched":
                b.paint(_arch(p, 0.16, 0.42), WOOD)
            case "square":
                b.paint(_block(p, 0.14, -0.34), WOOD)
            case "double":
                b.paint(_block(p, 0.24, -0.36), CREAM)
                x = (p[..., 0].abs() - 0.12).abs()
                y = (p[..., 1] + 0.54).abs()
                cross = (0.83 * x - 0.55 * y).abs() - 0.02
                b.ink(s.intersect(s.union(cross, p[..., 0].abs() - 0.025), x - 0.12, y - 0.18))
            case "tunnel":
                b.paint(_arch(p, 0.27, 0.42), b.shade(0.35))
                b.paint(_arch(p, 0.15, 0.28), (0.20, 0.17, 0.22))
    for knob in c.where("door", "arched", "square"):
        knob.paint(s.circle(knob.p, (0.065, -0.54), 0.03), LIGHT, outline=0)


def _front(c: Canvas) -> None:
    for columns in c.where("front", "columns"):
        for walls, w in columns.by("walls"):
            p = s.mirror(w.p)
            x = 0.35 if walls in ("tower", "long", "twin") else 0.42
            shafts = _rect(p, (x, -0.5), (0.07, 0.22))
            if walls == "long":
                shafts = s.union(shafts, _rect(p, (0.73, -0.5), (0.07, 0.22)))
                x = 0.73
            w.paint(shafts, CREAM, outline=0.7)
            w.paint(_rect(p, (0, -0.26), (x + 0.11, 0.045)), CREAM, outline=0.7)
    for fence in c.where("front", "fence"):
        p = s.move(s.mirror(fence.p), (0.58, GROUND))
        tip = (p[..., 0] - 0.2 * torch.round(p[..., 0] / 0.2)).abs() + p[..., 1] - 0.25
        pickets = s.intersect(
            _rect(p, (0, 0.12), (0.27, 0.13)), s.stripes(p, 0.2, degrees=0, share=0.6), 0.7 * tip
        )
        fence.paint(s.union(pickets, _rect(p, (0, 0.08), (0.28, 0.035))), CREAM, outline=0.7)


def _spokes(p: s.Points) -> s.Points:
    """Fold four diagonal spokes onto the positive x axis."""
    angle = torch.atan2(p[..., 1], p[..., 0]) - math.pi / 4
    angle = angle - math.pi / 2 * torch.round(angle / (math.pi / 2))
    return p.norm(dim=-1, keepdim=True) * torch.stack([angle.cos(), angle.sin()], -1)


def _apex(c: Canvas) -> s.Points:
    """Return the points relative to the top of the roof."""
    return c.at("eaves") + c.at("rise") - c.p


def _behind(c: Canvas) -> None:
    """Paint the toppings that stand behind the roof."""
    for chimney in c.where("topping", "chimney"):
        p = chimney.at("eaves")
        chimney.paint(
            s.union(_rect(p, (0.21, 0.20), (0.08, 0.24)), _rect(p, (0.21, 0.42), (0.12, 0.05))),
            (0.66, 0.30, 0.24),
        )
        chimney.paint(
            s.union(s.circle(p, (0.28, 0.57), 0.07), s.circle(p, (0.40, 0.63), 0.10)), "white"
        )
    for beacon in c.where("topping", "beacon"):
        x, y = _apex(beacon).unbind(-1)
        beacon.paint(
            s.intersect(0.97 * ((y - 0.12).abs() - 0.2 * x.abs()), x.abs() - 0.76),
            (1.0, 0.93, 0.55),
        )


def _topping(c: Canvas) -> None:
    for topping, t in c.by("topping"):
        p = _apex(t)
        match topping:
            case "flag":
                t.paint(s.polygon(p, [(0, 0.30), (0.40, 0.19), (0, 0.07)]), "red")
                t.paint(_rect(p, (0, 0.13), (0.03, 0.18)), WOOD)
            case "cross":
                t.paint(
                    s.union(_rect(p, (0, 0.11), (0.05, 0.17)), _rect(p, (0, 0.15), (0.14, 0.05))),
                    GOLD,
                    outline=0.8,
                )
            case "sails":
                hub = s.move(p, (0, -0.06))
                arm = _spokes(hub)
                t.paint(_rect(arm, (0.31, 0.07), (0.18, 0.075)), CREAM, outline=0.7)
                t.paint(
                    s.union(_rect(arm, (0.25, 0), (0.25, 0.025)), s.circle(hub, (0, 0), 0.06)), WOOD
                )
            case "beacon":
                t.paint(_rect(p, (0, 0.09), (0.14, 0.13)), LIGHT)
                t.paint(_triangle(p, 0.20, 0.20, high=0.33), "red")


def draw(c: Canvas) -> None:
    """Paint buildings with any combination of the factors' values."""
    c.put("eaves", "walls", {walls: (0, top) for walls, top in TOP.items()})
    c.put("rise", "roof", {roof: (0, rise) for roof, rise in RISE.items()})
    _behind(c)
    _walls(c)
    for dome in c.where("roof", "dome"):  # the pattern of the walls continues over a dome
        _roofs(dome)
    _pattern(c)
    for other in c.where("roof", *(set(RISE) - {"dome"})):
        _roofs(other)
    _windows(c)
    _door(c)
    _front(c)
    _topping(c)


BUILDING = Category(
    name="building",
    factors=(WALLS, ROOF, DOOR, WINDOWS, TOPPING, FRONT, PATTERN, COLOR),
    species={
        "house": {
            "walls": "square",
            "roof": "gable",
            "door": "square",
            "windows": "square",
            "topping": "chimney",
            "front": {"bare": 0.7, "fence": 0.3},
            "pattern": {"plain": 0.7, "brick": 0.3},
            "color": {"yellow": 0.3, "red": 0.3, "white": 0.2, "blue": 0.2},
        },
        "castle": {
            "walls": "twin",
            "roof": "battlements",
            "door": "arched",
            "windows": "tall",
            "topping": "flag",
            "front": "bare",
            "pattern": {"brick": 0.7, "plain": 0.3},
            "color": {"gray": 0.7, "brown": 0.3},
        },
        "church": {
            "walls": "square",
            "roof": "spire",
            "door": "arched",
            "windows": "tall",
            "topping": "cross",
            "front": "bare",
            "pattern": "plain",
            "color": {"white": 0.6, "gray": 0.2, "yellow": 0.2},
        },
        "cathedral": {
            "walls": "twin",
            "roof": "spire",
            "door": "double",
            "windows": "round",
            "topping": "cross",
            "front": "bare",
            "pattern": {"brick": 0.5, "plain": 0.5},
            "color": {"gray": 0.6, "brown": 0.4},
        },
        "lighthouse": {
            "walls": "tower",
            "roof": "battlements",
            "door": "square",
            "windows": "round",
            "topping": "beacon",
            "front": "bare",
            "pattern": "striped",
            "color": {"red": 0.7, "blue": 0.2, "black": 0.1},
        },
        "windmill": {
            "walls": "tower",
            "roof": "dome",
            "door": {"arched": 0.5, "square": 0.5},
            "windows": "square",
            "topping": "sails",
            "front": {"bare": 0.6, "fence": 0.4},
            "pattern": {"plain": 0.6, "brick": 0.4},
            "color": {"brown": 0.4, "white": 0.4, "orange": 0.2},
        },
        "barn": {
            "walls": "square",
            "roof": "gable",
            "door": "double",
            "windows": "none",
            "topping": "none",
            "front": "fence",
            "pattern": {"striped": 0.4, "plain": 0.6},
            "color": {"red": 0.8, "brown": 0.2},
        },
        "school": {
            "walls": "long",
            "roof": "gable",
            "door": "square",
            "windows": "square",
            "topping": "flag",
            "front": "bare",
            "pattern": {"brick": 0.7, "plain": 0.3},
            "color": {"red": 0.5, "yellow": 0.3, "orange": 0.2},
        },
        "fort": {
            "walls": "long",
            "roof": "battlements",
            "door": "tunnel",
            "windows": "none",
            "topping": "flag",
            "front": "fence",
            "pattern": {"brick": 0.5, "plain": 0.5},
            "color": {"brown": 0.7, "gray": 0.3},
        },
        "temple": {
            "walls": "long",
            "roof": "gable",
            "door": "square",
            "windows": "none",
            "topping": "none",
            "front": "columns",
            "pattern": "plain",
            "color": {"white": 0.6, "yellow": 0.2, "gray": 0.2},
        },
        "palace": {
            "walls": "long",
            "roof": "onion",
            "door": "arched",
            "windows": "tall",
            "topping": "flag",
            "front": "columns",
            "pattern": "plain",
            "color": {"pink": 0.4, "white": 0.4, "purple": 0.2},
        },
        "igloo": {
            "walls": "round",
            "roof": "dome",
            "door": "tunnel",
            "windows": "none",
            "topping": "none",
            "front": "bare",
            "pattern": "brick",
            "color": {"white": 0.8, "blue": 0.2},
        },
        "mosque": {
            "walls": "twin",
            "roof": "onion",
            "door": "arched",
            "windows": "round",
            "topping": "none",
            "front": "bare",
            "pattern": {"plain": 0.7, "striped": 0.3},
            "color": {"white": 0.5, "green": 0.3, "blue": 0.2},
        },
        "pagoda": {
            "walls": "stepped",
            "roof": "curved",
            "door": "square",
            "windows": "round",
            "topping": "none",
            "front": {"bare": 0.6, "columns": 0.4},
            "pattern": "plain",
            "color": {"red": 0.7, "white": 0.3},
        },
        "hut": {
            "walls": "round",
            "roof": "gable",
            "door": "arched",
            "windows": "round",
            "topping": "none",
            "front": "fence",
            "pattern": {"plain": 0.7, "brick": 0.3},
            "color": {"brown": 0.6, "orange": 0.4},
        },
        "capitol": {
            "walls": "stepped",
            "roof": "dome",
            "door": "square",
            "windows": "tall",
            "topping": "flag",
            "front": "columns",
            "pattern": "plain",
            "color": {"white": 0.7, "gray": 0.3},
        },
    },
    draw=draw,
)

"""Plants: a big head on a stem that rises from a base.

Leaves grow at the sides, and fruit or a blossom may hang on the plant.
"""

import math

import torch

from .. import shapes as s
from ..canvas import Canvas
from ..factors import COLOR, Factor
from ..plan import Category

HEAD = Factor(
    "head",
    {
        "petals": "a ring of petals",
        "cup": "a cup flower",
        "swirl": "a swirl flower",
        "cap": "a round cap",
        "fronds": "drooping fronds",
        "spire": "a tall spire",
    },
)
STEM = Factor(
    "stem",
    {
        "thin": "a thin stem",
        "curved": "a curved trunk",
        "trunk": "a straight trunk",
        "stalk": "a fat stalk",
        "column": "a ribbed column",
    },
)
LEAF = Factor(
    "leaf",
    {
        "none": "no leaves",
        "ovals": "oval leaves",
        "blades": "long blades",
        "arms": "bent arms",
        "pads": "leafy pads",
        "tiers": "spreading tiers",
    },
)
FRUIT = Factor(
    "fruit",
    {
        "none": "no fruit",
        "berries": "hanging berries",
        "coconuts": "coconuts",
        "blossom": "a little blossom",
    },
)
BASE = Factor(
    "base",
    {
        "pot": "a pot",
        "vase": "a vase",
        "tray": "a shallow tray",
        "mound": "a grassy mound",
        "roots": "big roots",
    },
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "spotted": "spotted"}, structural=False
)

LEAF_GREEN = (0.36, 0.70, 0.33)
STEM_GREEN = (0.30, 0.58, 0.28)
BARK = (0.58, 0.38, 0.22)
HUSK = (0.45, 0.29, 0.18)
CREAM = (0.98, 0.92, 0.78)
CLAY = (0.83, 0.47, 0.30)
GLASS = (0.62, 0.85, 0.93)
GLAZE = (0.25, 0.42, 0.66)
GRASS = (0.52, 0.76, 0.36)


def _lens(p: s.Points, a: s.XY, b: s.XY, width: float, sag: float = 0.0) -> s.Distance:
    """Compute the distance to a leaf with points at `a` and `b` that reaches `width` to each side.

    `sag` bends its middle to the left, as seen from `a`.
    """
    half = math.dist(a, b) / 2
    tilt = math.atan2(a[0] - b[0], b[1] - a[1])
    x, y = (p - p.new_tensor([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2])).unbind(-1)
    across = math.cos(tilt) * x + math.sin(tilt) * y
    along = math.cos(tilt) * y - math.sin(tilt) * x
    across = across + sag * (1 - (along / half).square())
    radius = (half**2 + width**2) / (2 * width)
    return torch.hypot(across.abs() + radius - width, along) - radius


def _taper(p: s.Points, low: s.XY, high: s.XY, rounding: float) -> s.Distance:
    """Compute the distance to an upright trapezoid, enlarged on all sides by `rounding`.

    `low` and `high` are half its width and its y at the bottom and at the top.
    """
    half, bottom = low
    half_top, top = high
    x, y = p.unbind(-1)
    lean = (half - half_top) / (top - bottom)
    side = (x.abs() - half + lean * (y - bottom)) / math.hypot(1.0, lean)
    flat = (y - (bottom + top) / 2).abs() - (top - bottom) / 2
    return (
        torch.hypot(side.clamp_min(0), flat.clamp_min(0))
        + torch.maximum(side, flat).clamp_max(0)
        - rounding
    )


def _spiral(p: s.Points, gap: float) -> s.Distance:
    """Compute the distance to an endless spiral line whose turns are `gap` apart."""
    x = p.norm(dim=-1) / gap - torch.atan2(p[..., 1], p[..., 0]) / (2 * math.pi)
    return (x - x.round()).abs() * gap


def _fill(c: Canvas, *parts: s.Distance) -> None:
    """Paint parts over each other in the main color, then their common pattern."""
    for d in parts:
        c.paint(d)
    c.keep("part", s.union(*parts))
    for q in c.where("pattern", "striped"):
        q.pattern(s.intersect(q.shape("part") + 0.05, s.stripes(q.p, 0.18, degrees=0, share=0.42)))
    for q in c.where("pattern", "spotted"):
        q.pattern(s.intersect(q.shape("part") + 0.05, s.dots(s.move(q.p, (0.0, 0.05)), 0.2, 0.062)))


def _leaf(c: Canvas) -> None:
    """Paint the side parts that start behind the stem. Arms and pads have the main color."""
    c.put("node", "stem", {stem: (-0.06 if stem == "curved" else 0.0, 0.0) for stem in STEM.values})
    for leaf, t in c.by("leaf"):
        p = t.at("node")
        q = s.mirror(t.at("node"))
        match leaf:
            case "ovals":
                t.paint(_lens(q, (0.0, -0.32), (0.66, -0.08), width=0.14), LEAF_GREEN)
                t.ink(s.capsule(q, (0.1, -0.284), (0.5, -0.14), r=0.018))
            case "blades":
                for a, b, width in (
                    ((0.0, -0.62), (0.62, 0.10), 0.10),
                    ((0.0, -0.62), (0.36, 0.12), 0.09),
                ):
                    t.paint(_lens(q, a, b, width=width), LEAF_GREEN)
            case "arms":
                q = s.mirror(torch.stack([p[..., 0], p[..., 1] + 0.08 * (p[..., 0] > 0)], -1))
                _fill(t, s.path(q, [(0.0, -0.24), (0.50, -0.24), (0.50, 0.03)], 0.115))
            case "pads":
                t.paint(s.capsule(q, (0.0, -0.32), (0.45, -0.16), r=0.05), BARK)
                _fill(
                    t, s.subtract(s.ellipse(q, (0.52, -0.16), (0.26, 0.22)), q[..., 1] + 0.2) - 0.02
                )


def _stem(c: Canvas) -> None:
    for stem, t in c.by("stem"):
        p = t.p
        match stem:
            case "thin":
                t.paint(s.capsule(p, (0, -0.6), (0, 0.3), r=0.045), STEM_GREEN)
            case "curved":
                x, y = p.unbind(-1)
                q = torch.stack([x + 0.2 * (1 - ((y + 0.12) / 0.42).square()), y], -1)
                d = s.capsule(q, (0.02, -0.58), (0.0, 0.30), r=0.12, r_end=0.09)
                t.paint(d, BARK)
                t.ink(s.intersect(d, s.stripes(q, 0.17, degrees=90, share=0.2)))
            case "trunk":
                t.paint(s.capsule(p, (0, -0.62), (0, 0.3), r=0.17, r_end=0.10), BARK)
                t.ink(s.capsule(p, (-0.05, -0.36), (-0.05, -0.22), r=0.016))
                t.ink(s.capsule(p, (0.05, -0.28), (0.05, -0.14), r=0.016))
            case "stalk":
                t.paint(s.capsule(p, (0, -0.45), (0, 0.3), r=0.26, r_end=0.13), CREAM)
            case "column":
                _fill(t, s.box(p, (0, -0.12), (0.21, 0.5), rounding=0.05))
                t.ink(s.box(s.mirror(p), (0.075, -0.12), (0.014, 0.5)))


def _tiers(c: Canvas) -> None:
    for t in c.where("leaf", "tiers"):
        _fill(
            t,
            *(
                _taper(t.p, (half, y), (0.08, y + 0.4), rounding=0.04)
                for y, half in ((-0.12, 0.62), (0.04, 0.48))
            ),
        )


def _head(c: Canvas) -> None:
    for head, t in c.by("head"):
        p = t.p
        q = s.mirror(p)
        match head:
            case "petals":
                t.paint(s.petals(p, (0, 0.40), 11, distance=0.29, radii=(0.2, 0.11)))
                for u in t.where("pattern", "striped"):
                    u.pattern(s.petals(u.p, (0, 0.40), 11, distance=0.3, radii=(0.13, 0.032)))
                for u in t.where("pattern", "spotted"):
                    u.pattern(s.petals(u.p, (0, 0.40), 11, distance=0.36, radii=(0.055, 0.055)))
                t.paint(s.circle(p, (0, 0.40), 0.2), (0.98, 0.80, 0.25))
                for u in t.where("color", "yellow", "orange"):
                    u.paint(s.circle(u.p, (0, 0.40), 0.2), (0.50, 0.30, 0.15))
                t.ink(s.circle(q, (0.075, 0.44), 0.035))
                t.ink(s.intersect(s.ring(s.circle(p, (0, 0.40), 0.09), 0.02), p[..., 1] - 0.375))
            case "cup":
                _fill(
                    t,
                    s.union(
                        _lens(q, (0.0, 0.05), (0.36, 0.80), width=0.2),
                        _lens(p, (0, 0.1), (0, 0.84), width=0.2),
                    ),
                    s.blend(
                        _lens(p, (0, 0.1), (0, 0.70), width=0.23), s.circle(p, (0, 0.27), 0.22), 0.1
                    ),
                )
            case "swirl":
                t.paint(_lens(q, (0.0, 0.02), (0.42, 0.06), width=0.07), LEAF_GREEN)
                _fill(t, s.petals(p, (0, 0.42), 5, distance=0.22, radii=(0.2, 0.25)))
                t.ink(
                    s.intersect(
                        _spiral(s.move(p, (0, 0.42)), 0.115) - 0.018, s.circle(p, (0, 0.42), 0.25)
                    )
                )
            case "cap":
                _fill(
                    t,
                    s.subtract(s.ellipse(p, (0, 0.22), (0.56, 0.52)), s.circle(p, (0, -1.7), 1.95))
                    - 0.06,
                )
            case "fronds":
                _fill(
                    t,
                    _lens(q, (0, 0.28), (0.70, 0.02), width=0.13, sag=0.2),
                    _lens(q, (0, 0.26), (0.80, 0.42), width=0.13, sag=0.16),
                    _lens(q, (0, 0.28), (0.52, 0.80), width=0.13, sag=0.1),
                    _lens(p, (0, 0.2), (0, 0.86), width=0.14),
                )
            case "spire":
                for u in t.where("stem", "thin", "curved", "trunk", "stalk"):
                    _fill(
                        u,
                        *(
                            _taper(u.p, (half, y), (0.0, y + 0.25), rounding=0.045)
                            for y, half in ((0.16, 0.29), (0.36, 0.23), (0.56, 0.17))
                        ),
                    )
                for u in t.where("stem", "column"):  # without a seam
                    _fill(
                        u,
                        s.union(
                            s.capsule(u.p, (0, 0.26), (0, 0.68), r=0.21, r_end=0.14),
                            s.box(u.p, (0, -0.12), (0.21, 0.5), rounding=0.05),
                        ),
                    )
                    u.ink(s.box(s.mirror(u.p), (0.075, 0.0), (0.014, 0.6)))


def _fruit(c: Canvas) -> None:
    c.put(
        "bloom",
        "head",
        {
            "petals": (0.3, 0.62),
            "cup": (0.22, 0.55),
            "swirl": (0.26, 0.64),
            "cap": (0.3, 0.6),
            "fronds": (0, 0.46),
            "spire": (0.0, 0.68),
        },
    )
    for fruit, t in c.by("fruit"):
        p = t.p
        q = s.mirror(p)
        match fruit:
            case "berries":
                t.ink(
                    s.union(
                        s.capsule(q, (0.0, 0.2), (0.38, 0.06), r=0.02),
                        s.capsule(q, (0.0, 0.2), (0.22, 0.0), r=0.02),
                    )
                )
                t.paint(
                    s.union(s.circle(q, (0.22, -0.04), 0.085), s.circle(q, (0.38, 0.02), 0.085)),
                    "red",
                )
                t.paint(
                    s.union(s.circle(q, (0.19, -0.01), 0.025), s.circle(q, (0.35, 0.05), 0.025)),
                    "white",
                    outline=0,
                )
            case "coconuts":
                t.paint(s.circle(q, (0.13, 0.12), 0.125), HUSK)
                t.paint(s.circle(p, (0.0, 0.0), 0.125), HUSK)
                t.paint(
                    s.union(s.circle(q, (0.15, 0.16), 0.03), s.circle(p, (-0.03, 0.04), 0.03)),
                    "white",
                    outline=0,
                )
            case "blossom":
                at = t.at("bloom")
                t.paint(
                    s.petals(at, (0, 0), 5, distance=0.115, radii=(0.09, 0.08)), "pink", outline=0.8
                )
                t.paint(s.circle(at, (0, 0), 0.07), "yellow", outline=0.6)


def _base(c: Canvas) -> None:
    for base, t in c.by("base"):
        p = t.p
        q = s.mirror(p)
        match base:
            case "pot":
                t.paint(_taper(p, (0.22, -0.8), (0.31, -0.5), rounding=0.02), CLAY)
                t.paint(s.box(p, (0, -0.49), (0.39, 0.075), rounding=0.03), CLAY)
            case "vase":
                t.paint(
                    s.blend(
                        s.ellipse(p, (0, -0.65), (0.38, 0.17)),
                        s.box(p, (0, -0.5), (0.24, 0.08), rounding=0.02),
                        0.08,
                    ),
                    GLASS,
                )
                t.paint(s.box(p, (0, -0.44), (0.3, 0.05), rounding=0.04), GLASS)
            case "tray":
                t.paint(
                    s.union(
                        _taper(p, (0.54, -0.74), (0.66, -0.56), rounding=0.03),
                        s.box(q, (0.38, -0.78), (0.1, 0.06), rounding=0.02),
                    ),
                    GLAZE,
                )
            case "mound":
                t.paint(
                    s.subtract(s.ellipse(p, (0, -0.82), (0.74, 0.36)), p[..., 1] + 0.78) - 0.02,
                    GRASS,
                )
                x, y = p.unbind(-1)
                tufts = s.mirror(torch.stack([x - 0.4 * (x / 0.4).round(), y + 0.25 * x**2], -1))
                t.ink(
                    s.intersect(
                        s.capsule(tufts, (0, -0.68), (0.06, -0.62), r=0.018), x.abs() - 0.55
                    )
                )
            case "roots":
                t.paint(
                    s.union(
                        s.path(q, [(0.08, -0.48), (0.24, -0.66), (0.62, -0.74)], 0.15, r_end=0.05),
                        s.capsule(q, (0.04, -0.5), (0.13, -0.77), r=0.13, r_end=0.06),
                    ),
                    BARK,
                )


def draw(c: Canvas) -> None:
    """Paint plants with any combination of the factors' values."""
    _leaf(c)
    _stem(c)
    _tiers(c)
    _head(c)
    _base(c)
    _fruit(c)


Table = str | dict[str, float]


def _species(
    head: str, stem: str, leaf: str, fruit: Table, base: str, pattern: str, colors: str
) -> dict[str, Table]:
    """Build a species' table. Several colors in one string are equally likely."""
    names = colors.split()
    return {
        "head": head,
        "stem": stem,
        "leaf": leaf,
        "fruit": fruit,
        "base": base,
        "pattern": pattern,
        "color": {name: 1 / len(names) for name in names},
    }


PLANT = Category(
    name="plant",
    factors=(HEAD, STEM, LEAF, FRUIT, BASE, PATTERN, COLOR),
    species={
        "sunflower": _species(
            head="petals",
            stem="thin",
            leaf="ovals",
            fruit="none",
            base="pot",
            pattern="plain",
            colors="yellow orange",
        ),
        "daisy": _species(
            head="petals",
            stem="thin",
            leaf="blades",
            fruit="none",
            base="mound",
            pattern="plain",
            colors="white pink",
        ),
        "tulip": _species(
            head="cup",
            stem="thin",
            leaf="blades",
            fruit="none",
            base="vase",
            pattern="plain",
            colors="red yellow pink purple",
        ),
        "lotus": _species(
            head="cup",
            stem="thin",
            leaf="none",
            fruit="none",
            base="tray",
            pattern="plain",
            colors="pink white",
        ),
        "rose": _species(
            head="swirl",
            stem="thin",
            leaf="ovals",
            fruit="none",
            base="vase",
            pattern="plain",
            colors="red pink white",
        ),
        "cactus": _species(
            head="spire",
            stem="column",
            leaf="arms",
            fruit={"none": 0.3, "blossom": 0.7},
            base="pot",
            pattern="spotted",
            colors="green",
        ),
        "lavender": _species(
            head="spire",
            stem="thin",
            leaf="ovals",
            fruit="none",
            base="mound",
            pattern="spotted",
            colors="purple",
        ),
        "mushroom": _species(
            head="cap",
            stem="stalk",
            leaf="none",
            fruit="none",
            base="mound",
            pattern="spotted",
            colors="red brown",
        ),
        "bonsai": _species(
            head="cap",
            stem="curved",
            leaf="pads",
            fruit={"none": 0.6, "blossom": 0.4},
            base="tray",
            pattern="plain",
            colors="green pink",
        ),
        "oak": _species(
            head="cap",
            stem="trunk",
            leaf="pads",
            fruit="none",
            base="roots",
            pattern="plain",
            colors="green orange",
        ),
        "fir": _species(
            head="spire",
            stem="trunk",
            leaf="tiers",
            fruit={"none": 0.5, "berries": 0.5},
            base="roots",
            pattern="plain",
            colors="green blue",
        ),
        "palm": _species(
            head="fronds",
            stem="curved",
            leaf="none",
            fruit="coconuts",
            base="mound",
            pattern="plain",
            colors="green",
        ),
        "fern": _species(
            head="fronds",
            stem="thin",
            leaf="blades",
            fruit="none",
            base="pot",
            pattern="striped",
            colors="green",
        ),
    },
    draw=draw,
)

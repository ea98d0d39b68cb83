"""Fruit: a body with a top, a skin, a bottom end, and perhaps a bite, a cut or a half open peel."""

import math

import torch

from .. import shapes as s
from ..canvas import Canvas, Color
from ..factors import COLOR, Factor
from ..plan import Category
from ..shapes import XY, Distance, Points

SHAPE = Factor(
    "shape",
    {
        "round": "a round shape",
        "oval": "a tall oval shape",
        "wide": "a wide oval shape",
        "pear": "a slim neck",
        "cone": "a pointed cone shape",
        "crescent": "a curved shape",
        "cluster": "many little balls",
        "twin": "twin balls",
    },
)
TOP = Factor(
    "top",
    {
        "stem": "a thick stem",
        "leaf": "a big leaf",
        "crown": "a spiky crown",
        "cap": "a leafy cap",
        "vine": "a curly vine",
        "blossom": "a white blossom",
    },
)
SKIN = Factor(
    "skin",
    {
        "smooth": "smooth skin",
        "crease": "a long crease",
        "segments": "segment lines",
        "seeds": "little seeds",
        "net": "a net of lines",
    },
)
FORM = Factor(
    "form",
    {
        "whole": "nothing missing",
        "bitten": "a bite taken",
        "cut": "a cut side",
        "peeled": "an open peel",
    },
)
BASE = Factor(
    "base",
    {
        "rounded": "a rounded bottom",
        "tip": "a pointed tip",
        "star": "a brown star below",
        "dark": "a black end",
    },
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "spotted": "spotted"}, structural=False
)

GREEN = (0.30, 0.64, 0.26)
TWIG = (0.48, 0.31, 0.17)
CREAM = (1.0, 0.94, 0.76)
FLESH: dict[str, Color] = {
    "round": (1.0, 0.78, 0.42),
    "oval": (0.86, 0.93, 0.48),
    "wide": (0.98, 0.45, 0.45),
    "pear": (1.0, 0.84, 0.80),
    "cone": (1.0, 0.80, 0.76),
    "crescent": CREAM,
    "cluster": (0.90, 0.95, 0.72),
    "twin": (1.0, 0.82, 0.66),
}
CENTER: dict[str, XY] = {
    "round": (0.0, -0.15),
    "oval": (0.0, -0.14),
    "wide": (0.0, -0.22),
    "pear": (0.0, -0.14),
    "cone": (0.0, -0.12),
    "crescent": (-0.42, 0.32),
    "cluster": (0.0, -0.10),
    "twin": (0.39, -0.34),
}
TOPS: dict[str, XY] = {
    "round": (0.0, 0.33),
    "oval": (0.0, 0.43),
    "wide": (0.0, 0.22),
    "pear": (0.0, 0.42),
    "cone": (0.0, 0.32),
    "crescent": (0.42, 0.42),
    "cluster": (0.0, 0.40),
    "twin": (0.0, 0.43),
}
# Place of the lower end, and its turn in degrees from pointing down.
BASES: dict[str, tuple[XY, float]] = {
    "round": ((0.0, -0.66), 0),
    "oval": ((0.0, -0.67), 0),
    "wide": ((0.0, -0.64), 0),
    "pear": ((0.0, -0.67), 0),
    "cone": ((0.0, -0.68), 0),
    "crescent": ((-0.70, -0.42), -78),
    "cluster": ((0.0, -0.68), 0),
    "twin": ((0.39, -0.69), 0),
}
BITES: dict[str, XY] = {
    "round": (0.63, -0.02),
    "oval": (0.50, -0.08),
    "wide": (0.70, -0.10),
    "pear": (0.52, -0.24),
    "cone": (0.54, 0.02),
    "crescent": (0.43, -0.38),
    "cluster": (0.44, -0.26),
    "twin": (0.76, -0.26),
}
CUTS: dict[str, XY] = {
    "round": (0.02, -0.15),
    "oval": (-0.01, -0.14),
    "wide": (0.05, -0.22),
    "pear": (-0.04, -0.24),
    "cone": (0.02, -0.1),
    "crescent": (0.12, -0.2),
    "cluster": (0.0, -0.2),
    "twin": (0.1, -0.34),
}
# Middle, half width and height of the edge of an open peel.
PEELS: dict[str, tuple[float, float, float]] = {
    "round": (0.0, 0.58, -0.06),
    "oval": (0.0, 0.41, -0.06),
    "wide": (0.0, 0.66, -0.17),
    "pear": (0.0, 0.38, -0.12),
    "cone": (0.0, 0.46, -0.02),
    "crescent": (0.36, 0.27, 0.02),
    "cluster": (0.0, 0.48, -0.08),
    "twin": (0.0, 0.66, -0.30),
}
BALLS = [
    (0.36 * (i - (3 - row) / 2), 0.22 - 0.265 * row) for row in range(4) for i in range(4 - row)
]


def _along(p: Points) -> tuple[Points, torch.Tensor]:
    """Express points relative to the center line of the crescent.

    Also returns the place along that line, from 0 (top) to 1.
    """
    q = p - p.new_tensor(CENTER["crescent"])
    angle = torch.atan2(q[..., 1], q[..., 0]).clamp(math.radians(-114), math.radians(8))
    line = 0.85 * torch.stack([angle.cos(), angle.sin()], -1)
    return q - line, (math.radians(8) - angle) / math.radians(122)


def _body(shape: str, p: Points) -> Distance:
    match shape:
        case "round":
            return s.ellipse(s.mirror(p), (0.15, -0.15), (0.46, 0.54), degrees=10)
        case "oval":
            return s.ellipse(p, (0.0, -0.14), (0.43, 0.58))
        case "wide":
            return s.ellipse(p, (0.0, -0.22), (0.74, 0.44))
        case "pear":
            return s.blend(
                s.ellipse(p, (0.0, -0.29), (0.48, 0.42)),
                s.ellipse(p, (0.0, 0.17), (0.21, 0.26)),
                0.22,
            )
        case "cone":
            return (
                s.polygon(
                    s.mirror(p),
                    [
                        (-0.2, 0.14),
                        (0.28, 0.14),
                        (0.33, -0.03),
                        (0.22, -0.26),
                        (0.0, -0.50),
                        (-0.2, -0.26),
                    ],
                )
                - 0.19
            )
        case "crescent":
            q, t = _along(p)
            return (q.norm(dim=-1) - 0.12 - 0.15 * (math.pi * t).sin()) * 0.9
        case "cluster":
            return s.union(*(s.circle(p, xy, 0.2) for xy in BALLS))
        case _:
            return s.circle(s.mirror(p), (0.39, -0.34), 0.36)


def _shapes(c: Canvas) -> None:
    """Keep the whole body, the visible flesh, and the rest of the skin as shapes."""
    for shape, b in c.by("shape"):
        b.keep("body", _body(shape, b.p))
        b.keep("lit", _body(shape, b.p + b.p.new_tensor([0.09, -0.07])))
    for form, f in c.by("form"):
        body = f.shape("body")
        match form:
            case "bitten":
                p = f.at("bite")
                teeth = [
                    s.circle(p, xy, 0.12) for xy in ((0.01, 0.16), (-0.08, 0.0), (0.01, -0.16))
                ]
                mouth = s.union(s.circle(p, (0.25, 0.0), 0.33), *teeth)
                skin = s.subtract(body, mouth - 0.115)
                f.keep("flesh", s.intersect(s.subtract(body, mouth), mouth - 0.115))
            case "cut":
                flesh = f.keep(
                    "flesh", s.intersect(body + 0.085, s.circle(f.at("cut"), (1.0, 0.0), 1.0))
                )
                skin = s.subtract(body, flesh)
            case "peeled":
                p = f.at("peel")
                wave = p[..., 0] / 0.36
                edge = (p[..., 1] - 0.36 * (wave - wave.round()).abs() + 0.09) * 0.75
                f.keep("flesh", s.intersect(body + 0.05, -edge))
                skin = s.intersect(body, edge)
            case _:
                skin = body
        f.keep("skin", skin)


def _fill(c: Canvas, shape: str, region: Distance, color: Color | None) -> None:
    """Paint a part of the body. Paint a cluster ball by ball."""
    if shape == "cluster":
        for xy in reversed(BALLS):
            c.paint(s.intersect(s.circle(c.p, xy, 0.2), region), color)
    else:
        c.paint(region, color)


def _skin(c: Canvas) -> None:
    for shape, b in c.by("shape"):
        if shape == "twin":
            b.paint(s.path(s.mirror(b.p), [(0.0, 0.36), (0.23, 0.2), (0.37, -0.03)], 0.045), TWIG)
        skin = b.shape("skin")
        _fill(b, shape, skin, color=None)
        if shape == "cluster":
            shine = s.union(*(s.circle(b.p, (x - 0.06, y + 0.06), 0.045) for x, y in BALLS))
            b.paint(s.intersect(shine, skin + 0.05), b.shade(0.6), outline=0)
        else:
            b.paint(s.subtract(skin + 0.03, b.shape("lit")), b.shade(-0.16), outline=0)
    for pattern, q in c.by("pattern"):
        skin = q.shape("skin")
        if pattern == "striped":
            p = q.p + torch.stack(
                [0.035 * (14 * q.p[..., 1]).sin(), torch.zeros_like(q.p[..., 1])], -1
            )
            q.pattern(s.intersect(skin + 0.03, s.stripes(p, 0.3, degrees=0, share=0.45)))
        elif pattern == "spotted":
            q.pattern(
                s.intersect(skin + 0.03, s.dots(q.p - q.p.new_tensor([0.08, 0.05]), 0.32, 0.085))
            )
    for sub in c.where("skin", "seeds"):
        p = sub.p * sub.p.new_tensor([1.0, 0.75])
        sub.paint(
            s.intersect(sub.shape("skin") + 0.06, s.dots(p, 0.215, 0.036)),
            (1.0, 0.95, 0.62),
            outline=0.7,
        )
    for sub in c.where("skin", "net"):
        _engrave(
            sub,
            s.union(
                s.stripes(sub.p, 0.25, degrees=40, share=0.19),
                s.stripes(sub.p, 0.25, degrees=-40, share=0.19),
            ),
        )
    for sub in c.where("skin", "crease", "segments"):
        for shape, b in sub.by("shape"):
            for skin, q in b.by("skin"):
                _engrave(q, _lines(shape, skin, q.p))


def _engrave(c: Canvas, lines: Distance) -> None:
    """Draw lines on the skin, with light edges on dark fruit so that they show there too."""
    dark = (c.color.mean(1) < 0.35).float()[:, None, None]
    c.paint(
        s.intersect(c.shape("skin") + 0.03, lines + 0.024 - 0.05 * dark), c.shade(0.3), outline=0
    )
    c.ink(s.intersect(c.shape("skin"), lines))


def _lines(shape: str, skin: str, p: Points) -> Distance:
    """Compute the distance to the meridians of a fruit, or to only one of them for a crease."""
    if shape == "crescent":
        offset = s.circle(p, CENTER[shape], 0.85)
        return (
            s.ring(offset - 0.03, 0.024)
            if skin == "crease"
            else s.ring(s.ring(offset, 0.09), 0.024)
        )
    p = s.mirror(p) if shape == "twin" else p
    x, y = CENTER[shape]
    wide, high = {
        "round": (0.6, 0.52),
        "oval": (0.43, 0.58),
        "wide": (0.74, 0.44),
        "pear": (0.46, 0.62),
        "cone": (0.46, 0.62),
        "cluster": (0.58, 0.66),
        "twin": (0.36, 0.36),
    }[shape]
    if skin == "crease":
        return s.intersect(
            s.ring(s.ellipse(p, (x, y), (0.42 * wide, high)), 0.024),
            p[..., 0] - x,
            y - 0.6 * high - p[..., 1],
        )
    return s.union(
        *(s.ring(s.ellipse(p, (x, y), (share * wide, high)), 0.024) for share in (0.26, 0.68))
    )


def _flesh(c: Canvas) -> None:
    for form, part in c.by("form"):
        if form == "whole":
            continue
        for shape, b in part.by("shape"):
            _fill(b, shape, b.shape("flesh"), color=CREAM if form == "bitten" else FLESH[shape])
            if form == "cut" and shape in ("round", "oval"):
                spokes = s.union(
                    *(
                        s.ring(s.move(b.at("cut"), (0.22, 0.0), turn)[..., 0], 0.022)
                        for turn in (0, 60, 120)
                    )
                )
                b.ink(s.intersect(b.shape("flesh"), spokes))
            elif form == "cut":
                b.ink(
                    s.intersect(
                        b.shape("flesh") + 0.08,
                        s.dots(b.at("cut") - b.p.new_tensor([0.16, 0.0]), 0.19, 0.038),
                    )
                )
            elif form == "peeled":
                for q in b.where("skin", "segments"):
                    q.ink(s.intersect(q.shape("flesh"), _lines(shape, "segments", q.p)))
    for q in c.where("form", "peeled"):
        for p in (q.at("left") * q.p.new_tensor([-1.0, 1.0]), q.at("right")):
            q.paint(
                s.path(p, [(-0.07, -0.07), (0.07, 0.03), (0.13, -0.16)], 0.09, r_end=0.035),
                q.shade(0.25),
            )


def _base(c: Canvas) -> None:
    for base in ("tip", "star", "dark"):
        for part in c.where("base", base):
            for shape, b in part.by("shape"):
                p = s.move(s.mirror(b.p) if shape == "twin" else b.p, *BASES[shape])
                if base == "tip":
                    b.paint(_blade(p, (0.0, 0.26), (0.0, -0.21), bend=0.32))
                elif base == "star":
                    b.paint(
                        s.union(
                            _blade(s.mirror(p), (0.0, 0.1), (0.19, -0.15), bend=0.25),
                            _blade(p, (0.0, 0.1), (0.0, -0.19), bend=0.25),
                        ),
                        TWIG,
                    )
                else:
                    d = s.box(p, (0.0, 0.0), (0.14, 0.12), rounding=0.05)
                    b.paint(d, "black")
                    b.ink(d)


def _top_behind(c: Canvas) -> None:
    for top, t in c.by("top"):
        p = t.at("top")
        match top:
            case "stem":
                t.paint(
                    s.path(p, [(0.0, -0.1), (0.02, 0.14), (0.12, 0.33)], 0.055, r_end=0.08), TWIG
                )
            case "leaf":
                t.paint(s.path(p, [(0.0, -0.1), (0.0, 0.1), (-0.08, 0.28)], 0.05), TWIG)
            case "crown":
                q = s.mirror(p)
                for tip in ((0.42, 0.12), (0.27, 0.35), (0.0, 0.45)):
                    t.paint(_blade(q, (0.03, -0.08), tip, bend=0.23), GREEN)
            case "vine":
                x = p[..., 0] - 0.19
                y = p[..., 1] - 0.22
                curl = s.subtract(
                    s.ring(s.circle(p, (0.19, 0.22), 0.18), 0.045), s.intersect(x - 0.03, y)
                )
                t.paint(_blade(p, (0.0, -0.02), (-0.30, 0.16), bend=0.24), GREEN)
                t.paint(s.union(curl, s.capsule(p, (0.0, -0.1), (0.01, 0.22), r=0.048)), GREEN)
            case _:
                pass


def _top_front(c: Canvas) -> None:
    for t in c.where("top", "leaf"):
        p = t.at("top")
        t.paint(_blade(p, (0.0, 0.06), (0.44, 0.28), bend=0.24), GREEN)
        t.ink(s.capsule(p, (0.04, 0.08), (0.30, 0.21), r=0.024))
    for t in c.where("top", "cap"):
        p = t.at("top")
        t.paint(s.capsule(p, (0.0, 0.0), (0.03, 0.20), r=0.05), GREEN)
        t.paint(
            s.polygon(
                s.mirror(p),
                [
                    (-0.1, 0.09),
                    (0.10, 0.09),
                    (0.24, 0.04),
                    (0.40, -0.13),
                    (0.20, -0.10),
                    (0.13, -0.20),
                    (0.0, -0.11),
                    (-0.1, -0.11),
                ],
            )
            - 0.015,
            GREEN,
        )
    for t in c.where("top", "blossom"):
        p = t.at("top")
        t.paint(s.petals(p, (0.0, 0.12), 5, distance=0.16, radii=(0.14, 0.115)), "white")
        t.paint(s.circle(p, (0.0, 0.12), 0.09), "yellow")


def _blade(p: Points, a: XY, b: XY, bend: float = 0.2) -> Distance:
    """Compute the distance to a pointed leaf from a to b, the intersection of two disks.

    `bend` is half its width relative to its length.
    """
    x = (a[0] + b[0]) / 2
    y = (a[1] + b[1]) / 2
    half = math.dist(a, b) / 2
    width = 2 * bend * half
    r = (half**2 + width**2) / (2 * width)
    q = s.move(p, (x, y), math.degrees(math.atan2(b[1] - a[1], b[0] - a[0])))
    return s.intersect(s.circle(q, (0.0, width - r), r), s.circle(q, (0.0, r - width), r))


def draw(c: Canvas) -> None:
    """Paint fruit with any combination of the factors' values."""
    for spot, places in {"top": TOPS, "bite": BITES, "cut": CUTS}.items():
        c.put(spot, "shape", places)
    c.put("peel", "shape", {name: (x, y) for name, (x, _, y) in PEELS.items()})
    c.put("left", "shape", {name: (x - half, y) for name, (x, half, y) in PEELS.items()})
    c.put("right", "shape", {name: (x + half, y) for name, (x, half, y) in PEELS.items()})
    _shapes(c)
    _base(c)
    _top_behind(c)
    _skin(c)
    _flesh(c)
    _top_front(c)


def _species(
    shape: str, top: str, skin: str, form: str, base: str, pattern: str, colors: str
) -> dict[str, str | dict[str, float]]:
    names = colors.split()
    forms = form.split()
    return {
        "shape": shape,
        "top": top,
        "skin": skin,
        "form": {name: 1 / len(forms) for name in forms},
        "base": base,
        "pattern": pattern,
        "color": {name: 1 / len(names) for name in names},
    }


FRUIT = Category(
    name="fruit",
    factors=(SHAPE, TOP, SKIN, FORM, BASE, PATTERN, COLOR),
    species={
        "apple": _species(
            shape="round",
            top="leaf",
            skin="smooth",
            form="whole bitten",
            base="star",
            pattern="plain",
            colors="red green",
        ),
        "tangerine": _species(
            shape="round",
            top="leaf",
            skin="segments",
            form="peeled",
            base="rounded",
            pattern="plain",
            colors="orange",
        ),
        "peach": _species(
            shape="round",
            top="leaf",
            skin="crease",
            form="whole",
            base="tip",
            pattern="plain",
            colors="pink orange",
        ),
        "melon": _species(
            shape="round",
            top="stem",
            skin="net",
            form="whole cut",
            base="dark",
            pattern="plain",
            colors="yellow green",
        ),
        "watermelon": _species(
            shape="wide",
            top="vine",
            skin="smooth",
            form="cut",
            base="rounded",
            pattern="striped",
            colors="green",
        ),
        "lemon": _species(
            shape="oval",
            top="blossom",
            skin="smooth",
            form="whole cut",
            base="tip",
            pattern="plain",
            colors="yellow",
        ),
        "plum": _species(
            shape="oval",
            top="stem",
            skin="crease",
            form="whole",
            base="rounded",
            pattern="plain",
            colors="purple blue",
        ),
        "kiwi": _species(
            shape="oval",
            top="leaf",
            skin="seeds",
            form="cut",
            base="dark",
            pattern="plain",
            colors="brown",
        ),
        "pineapple": _species(
            shape="oval",
            top="crown",
            skin="net",
            form="whole",
            base="rounded",
            pattern="plain",
            colors="yellow orange",
        ),
        "pear": _species(
            shape="pear",
            top="stem",
            skin="smooth",
            form="whole",
            base="star",
            pattern="spotted",
            colors="green yellow",
        ),
        "fig": _species(
            shape="pear",
            top="stem",
            skin="segments",
            form="cut",
            base="dark",
            pattern="plain",
            colors="purple",
        ),
        "strawberry": _species(
            shape="cone",
            top="cap",
            skin="seeds",
            form="whole bitten",
            base="rounded",
            pattern="plain",
            colors="red",
        ),
        "banana": _species(
            shape="crescent",
            top="stem",
            skin="crease",
            form="whole peeled",
            base="dark",
            pattern="plain",
            colors="yellow",
        ),
        "grape": _species(
            shape="cluster",
            top="vine",
            skin="smooth",
            form="whole",
            base="rounded",
            pattern="plain",
            colors="purple green",
        ),
        "cherry": _species(
            shape="twin",
            top="leaf",
            skin="smooth",
            form="whole",
            base="rounded",
            pattern="plain",
            colors="red",
        ),
    },
    draw=draw,
)

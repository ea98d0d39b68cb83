"""Vehicles seen from the side, facing right.

A body stands on a base and has a top, a front, a rear and windows.
"""

import torch

from .. import shapes as s
from ..canvas import Canvas
from ..factors import COLOR, Factor
from ..plan import Category

BODY = Factor(
    "body",
    {
        "sedan": "a car body",
        "box": "a boxy body",
        "hood": "a long hood",
        "hull": "a boat hull",
        "tube": "a tube body",
        "bubble": "a bubble body",
    },
)
BASE = Factor(
    "base",
    {
        "wheels": "two wheels",
        "giant": "a giant back wheel",
        "train": "train wheels",
        "waves": "waves below",
        "skids": "landing skids",
        "wing": "a wing",
    },
)
TOP = Factor(
    "top",
    {
        "bare": "a bare roof",
        "sail": "a sail",
        "chimney": "a smoking chimney",
        "rotor": "a rotor",
        "periscope": "a periscope",
        "luggage": "luggage on top",
    },
)
FRONT = Factor(
    "front",
    {
        "lamp": "a headlight",
        "cone": "a pointed nose",
        "cab": "a driver cab",
        "propeller": "a propeller",
    },
)
REAR = Factor(
    "rear",
    {
        "blunt": "a blunt back",
        "fin": "a tail fin",
        "flame": "a rocket flame",
        "boom": "a tail boom",
    },
)
WINDOWS = Factor(
    "windows", {"none": "no windows", "round": "round windows", "square": "square windows"}
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "checked": "checked"}, structural=False
)

# Places of the parts on each body.
ROOF = {
    "sedan": (-0.10, 0.25),
    "box": (-0.03, 0.26),
    "hood": (-0.30, 0.34),
    "hull": (-0.04, 0.12),
    "tube": (-0.03, 0.20),
    "bubble": (0.03, 0.32),
}
CHIMNEY = ROOF | {
    "sedan": (-0.04, 0.23),
    "box": (0.26, 0.26),
    "hood": (0.30, 0.02),
    "hull": (0.10, 0.12),
    "tube": (0.10, 0.20),
    "bubble": (0.10, 0.30),
}
NOSE = {
    "sedan": (0.53, -0.22),
    "box": (0.53, -0.10),
    "hood": (0.53, -0.18),
    "hull": (0.49, -0.08),
    "tube": (0.53, -0.08),
    "bubble": (0.48, -0.08),
}
STERN = {
    "sedan": (-0.58, -0.20),
    "box": (-0.58, -0.04),
    "hood": (-0.58, -0.02),
    "hull": (-0.55, -0.08),
    "tube": (-0.57, -0.08),
    "bubble": (-0.42, -0.06),
}
# Half the height of a pointed nose.
TIP = {"sedan": 0.15, "box": 0.29, "hood": 0.19, "hull": 0.2, "tube": 0.24, "bubble": 0.26}
# x, y and half size of each window.
PANES = {
    "sedan": ((-0.25, 0.07, 0.105), (0.06, 0.07, 0.105)),
    "box": ((-0.40, 0.04, 0.125), (-0.03, 0.04, 0.125), (0.34, 0.04, 0.125)),
    "hood": ((-0.465, 0.12, 0.105), (-0.175, 0.12, 0.105)),
    "hull": ((-0.36, -0.04, 0.10), (-0.03, -0.04, 0.10), (0.30, -0.04, 0.10)),
    "tube": ((-0.35, 0.01, 0.105), (-0.03, 0.01, 0.105), (0.29, 0.01, 0.105)),
    "bubble": ((-0.19, 0.08, 0.115), (0.18, 0.06, 0.18)),
}
GLASS = (0.66, 0.88, 0.98)
STEEL = (0.74, 0.77, 0.81)
TIRE = (0.22, 0.22, 0.25)
LEATHER = (0.86, 0.62, 0.34)
WATER = (0.25, 0.62, 0.90)
FIRE = (0.99, 0.45, 0.10)


def _convex(p: s.Points, points: list[s.XY]) -> s.Distance:
    """Compute the distance to a convex polygon with sharp corners.

    `points` are its corners in clockwise order. This is faster than `shapes.polygon`.
    """
    corners = p.new_tensor(points)
    edges = corners.roll(-1, 0) - corners
    normals = torch.stack([-edges[:, 1], edges[:, 0]], 1) / edges.norm(dim=1, keepdim=True)
    return (p @ normals.T - (corners * normals).sum(1)).amax(-1)


def _rear(c: Canvas) -> None:
    for r in c.where("rear", "fin"):
        r.paint(
            _convex(
                r.at("stern"),
                [(0.14, -0.10), (-0.22, -0.10), (-0.28, 0.42), (-0.06, 0.42), (0.30, 0.0)],
            )
        )
    for r in c.where("rear", "flame"):
        p = r.at("stern")
        r.paint(
            _convex(
                s.mirror(p.flip(-1)), [(0.0, 0.30), (0.42, -0.06), (0.42, -0.17), (0.0, -0.06)]
            ),
            "red",
        )
        tongues = _convex(
            s.mirror(p.flip(-1)), [(0.0, 0.05), (0.21, 0.05), (0.17, -0.23), (0.0, -0.05)]
        )
        r.paint(s.union(tongues, _convex(p, [(0.0, 0.13), (0.0, -0.13), (-0.31, 0.0)])), FIRE)
        r.paint(s.ellipse(p, (-0.05, 0.0), (0.13, 0.09)), "yellow", outline=0)
    for rear in c.where("rear", "boom"):
        for body, r in rear.by("body"):
            x, y = STERN[body]
            r.paint(s.capsule(r.p, (x + 0.1, y), (-0.72, 0.14), r=0.12, r_end=0.06))
        p = rear.p
        rear.paint(s.circle(p, (-0.72, 0.16), 0.15), STEEL)
        rear.ink(
            s.union(
                s.capsule(p, (-0.81, 0.25), (-0.63, 0.07), r=0.03),
                s.capsule(p, (-0.81, 0.07), (-0.63, 0.25), r=0.03),
            )
        )


def _sail(c: Canvas) -> None:
    for body, b in c.by("body"):
        x, y = ROOF[body]
        b.paint(s.capsule(b.p, (x, y - 0.1), (x, 0.82), r=0.035), "brown")
        b.paint(
            _convex(b.p, [(x - 0.06, 0.82), (x - 0.06, y + 0.07), (x - 0.50, y + 0.07)]), "white"
        )
        b.paint(_convex(b.p, [(x + 0.06, 0.74), (x + 0.40, y + 0.07), (x + 0.06, y + 0.07)]), "red")


def _top(c: Canvas) -> None:
    for top in c.where("top", "sail"):
        _sail(top)
    for top in c.where("top", "chimney"):
        p = top.at("chimney")
        puffs = s.union(
            s.circle(p, (-0.06, 0.38), 0.10),
            s.circle(p, (-0.24, 0.43), 0.13),
            s.circle(p, (-0.43, 0.41), 0.08),
        )
        top.paint(puffs, "white")
        top.paint(_convex(p, [(-0.10, -0.06), (-0.13, 0.26), (0.13, 0.26), (0.10, -0.06)]), TIRE)
        top.paint(s.box(p, (0, 0.24), (0.16, 0.055), rounding=0.03), "red")
    for top in c.where("top", "rotor"):
        p = top.at("roof")
        top.paint(s.box(p, (0, 0.08), (0.055, 0.14)), TIRE)
        top.paint(
            s.union(
                s.ellipse(p, (-0.30, 0.25), (0.31, 0.055), degrees=-4),
                s.ellipse(p, (0.30, 0.25), (0.31, 0.055), degrees=4),
            ),
            STEEL,
        )
        top.paint(s.circle(p, (0, 0.24), 0.09), "red")
    for top in c.where("top", "luggage"):
        p = top.at("roof")
        top.paint(s.ring(s.box(p, (-0.14, 0.36), (0.08, 0.06)), 0.035), TIRE)
        top.paint(s.box(p, (-0.14, 0.14), (0.24, 0.22), rounding=0.05), LEATHER)
        top.paint(s.box(p, (0.24, 0.07), (0.14, 0.16), rounding=0.05), "red")
        top.ink(s.box(p, (-0.14, 0.14), (0.10, 0.22)).abs() - 0.022)
    for top in c.where("top", "periscope"):
        p = top.at("roof")
        top.paint(s.path(p, [(0.02, 0.1), (0.02, 0.40), (0.18, 0.40)], 0.055), STEEL)
        top.paint(s.circle(p, (0.22, 0.40), 0.085), GLASS)
        top.paint(
            _convex(p, [(-0.26, -0.08), (-0.20, 0.20), (0.16, 0.20), (0.24, -0.08)]),
            top.shade(0.25),
        )


def _under(c: Canvas) -> None:
    """Paint the parts of the base that lie behind the body."""
    for base in c.where("base", "skids"):
        p = base.p
        base.paint(
            s.union(
                s.capsule(p, (-0.20, -0.35), (-0.30, -0.68), r=0.035),
                s.capsule(p, (0.16, -0.35), (0.26, -0.68), r=0.035),
            ),
            STEEL,
        )
        base.paint(s.path(p, [(-0.56, -0.68), (0.46, -0.68), (0.57, -0.58)], 0.045), TIRE)
    for base in c.where("base", "train"):
        base.paint(s.box(base.p, (-0.03, -0.42), (0.46, 0.08)), TIRE)
    for base in c.where("base", "wheels", "giant"):
        base.paint(s.box(base.p, (0.0, -0.42), (0.38, 0.06)), TIRE)


def _body(c: Canvas) -> None:
    for body, b in c.by("body"):
        p = b.p
        match body:
            case "sedan":
                cabin = (
                    s.polygon(p, [(-0.40, -0.1), (-0.32, 0.15), (0.12, 0.15), (0.28, -0.1)]) - 0.09
                )
                d = s.union(s.box(p, (-0.03, -0.25), (0.57, 0.18), rounding=0.12), cabin)
            case "box":
                d = s.box(p, (-0.03, -0.08), (0.57, 0.34), rounding=0.07)
            case "hood":
                d = s.union(
                    s.box(p, (-0.32, -0.05), (0.28, 0.37), rounding=0.04),
                    s.box(p, (0.04, -0.2), (0.50, 0.22), rounding=0.08),
                )
            case "hull":
                d = _convex(p, [(-0.57, 0.09), (0.51, 0.09), (0.36, -0.40), (-0.40, -0.40)]) - 0.03
            case "tube":
                d = s.box(p, (-0.03, -0.08), (0.58, 0.28), rounding=0.26)
            case _:
                d = s.ellipse(p, (0.03, -0.05), (0.46, 0.39))
        b.keep("body", d)
        b.paint(d)


def _checks(p: s.Points, period: float) -> s.Distance:
    a = s.stripes(p, period)
    b = s.stripes(p, period, 90)
    return s.union(s.intersect(a, b), -s.union(a, b))


def _pattern(c: Canvas) -> None:
    for q in c.where("pattern", "striped"):
        q.pattern(s.intersect(q.shape("body") + 0.03, s.stripes(q.p, 0.2, degrees=-30, share=0.42)))
    for q in c.where("pattern", "checked"):
        q.pattern(s.intersect(q.shape("body") + 0.03, _checks(q.p, 0.26)))


def _trim(c: Canvas) -> None:
    for b in c.where("body", "sedan"):
        b.ink(
            s.union(
                s.capsule(b.p, (-0.42, -0.10), (0.28, -0.10), r=0.02),
                s.capsule(b.p, (-0.02, -0.20), (0.08, -0.20), r=0.025),
            )
        )
    for b in c.where("body", "hood"):
        b.paint(s.box(b.p, (-0.32, 0.32), (0.34, 0.05), rounding=0.04), b.shade(-0.3))
    for b in c.where("body", "hull"):
        b.paint(s.box(b.p, (-0.03, 0.11), (0.60, 0.05), rounding=0.04), b.shade(0.45))


def _windows(c: Canvas) -> None:
    for shape in ("round", "square"):
        for windows in c.where("windows", shape):
            for body, b in windows.by("body"):
                px, py = b.p.unbind(-1)
                panes = []
                glints = []
                for x, y, r in PANES[body]:
                    dx = px - x
                    dy = py - y
                    panes.append(
                        torch.hypot(dx, dy) - r
                        if shape == "round"
                        else torch.maximum(dx.abs(), dy.abs()) - 1.1 * r
                    )
                    glints.append(torch.hypot(dx + 0.3 * r, dy - 0.3 * r) - 0.3 * r)
                b.paint(s.union(*panes), GLASS)
                b.paint(s.union(*glints), "white", outline=0)


def _behind_nose(c: Canvas) -> None:
    """Paint the fronts that start behind the body."""
    for cone in c.where("front", "cone"):
        for body, f in cone.by("body"):
            h = TIP[body]
            p = f.at("nose")
            prow = [(-0.2, h), (0.35, h), (0.20, 0.0), (-0.12, -0.28)]
            f.paint(
                _convex(
                    p,
                    prow
                    if body == "hull"
                    else [(-0.2, h), (0.0, h), (0.34, 0.0), (0.0, -h), (-0.2, -h)],
                )
            )
    for f in c.where("front", "propeller"):
        f.paint(
            _convex(f.at("nose"), [(-0.2, 0.16), (0.16, 0.09), (0.16, -0.09), (-0.2, -0.16)]), STEEL
        )


def _nose(c: Canvas) -> None:
    for f in c.where("front", "lamp"):
        p = f.at("nose")
        f.paint(s.ellipse(p, (0.03, 0), (0.11, 0.14)), "yellow")
        rays = (
            ((0.20, 0.09), (0.28, 0.15)),
            ((0.21, 0.0), (0.31, 0.0)),
            ((0.20, -0.09), (0.28, -0.15)),
        )
        f.paint(s.union(*(s.capsule(p, a, b, r=0.03) for a, b in rays)), "yellow", outline=0.6)
    for f in c.where("front", "cab"):
        p = f.at("nose")
        f.paint(
            _convex(p, [(-0.04, 0.25), (0.14, 0.25), (0.28, -0.03), (0.28, -0.24), (-0.04, -0.24)])
            - 0.03,
            f.shade(0.35),
        )
        f.paint(_convex(p, [(0.02, 0.19), (0.12, 0.19), (0.21, 0.0), (0.02, 0.0)]), GLASS)
    for f in c.where("front", "propeller"):
        p = f.at("nose")
        f.paint(
            s.union(
                s.ellipse(p, (0.2, 0.22), (0.06, 0.2)), s.ellipse(p, (0.2, -0.22), (0.06, 0.2))
            ),
            "brown",
        )
        f.paint(s.ellipse(p, (0.2, 0), (0.11, 0.09)), "red")


def _wheel(c: Canvas, xy: s.XY, r: float) -> None:
    d = s.circle(c.p, xy, r)
    c.paint(d, TIRE)
    c.paint(d + 0.45 * r, STEEL)
    c.ink(d + r - 0.035)


def _base(c: Canvas) -> None:
    for base, b in c.by("base"):
        p = b.p
        match base:
            case "wheels":
                _wheel(b, (-0.34, -0.51), 0.21)
                _wheel(b, (0.28, -0.51), 0.21)
            case "giant":
                _wheel(b, (-0.32, -0.43), 0.30)
                _wheel(b, (0.31, -0.56), 0.16)
            case "train":
                b.paint(s.box(p, (0, -0.75), (0.82, 0.04)), "brown")
                b.paint(
                    s.union(*(s.circle(p, (x, -0.54), 0.165) for x in (-0.40, -0.03, 0.34))), "red"
                )
                b.paint(s.capsule(p, (-0.40, -0.54), (0.34, -0.54), r=0.04), STEEL)
            case "waves":
                for y, color in ((-0.34, WATER), (-0.52, (0.15, 0.45, 0.78))):
                    crest = p[..., 1] - y + 0.10 * (8.0 * p[..., 0] + 8 * y).sin().abs()
                    b.paint(
                        s.intersect(0.8 * crest, s.box(p, (0, -0.5), (0.82, 0.25), rounding=0.08)),
                        color,
                    )
            case "wing":
                b.paint(
                    _convex(p, [(-0.16, -0.20), (0.26, -0.20), (-0.12, -0.68), (-0.40, -0.68)])
                    - 0.03,
                    b.shade(0.3),
                )


def draw(c: Canvas) -> None:
    """Paint vehicles with any combination of the factors' values."""
    for spot, places in (("roof", ROOF), ("chimney", CHIMNEY), ("nose", NOSE), ("stern", STERN)):
        c.put(spot, "body", places)
    for part in (_rear, _top, _under, _behind_nose, _body, _pattern, _trim, _windows, _nose, _base):
        part(c)


VEHICLE = Category(
    name="vehicle",
    factors=(BODY, BASE, TOP, FRONT, REAR, WINDOWS, PATTERN, COLOR),
    species={
        "car": {
            "body": "sedan",
            "base": "wheels",
            "top": "bare",
            "front": "lamp",
            "rear": "blunt",
            "windows": "square",
            "pattern": {"plain": 0.7, "striped": 0.3},
            "color": {"red": 0.4, "blue": 0.3, "green": 0.3},
        },
        "bus": {
            "body": "box",
            "base": "wheels",
            "top": "luggage",
            "front": "lamp",
            "rear": "blunt",
            "windows": "square",
            "pattern": "plain",
            "color": {"yellow": 0.6, "red": 0.4},
        },
        "truck": {
            "body": "box",
            "base": "wheels",
            "top": "bare",
            "front": "cab",
            "rear": "blunt",
            "windows": "none",
            "pattern": {"plain": 0.6, "striped": 0.4},
            "color": {"green": 0.4, "gray": 0.3, "orange": 0.3},
        },
        "train": {
            "body": "hood",
            "base": "train",
            "top": "chimney",
            "front": "lamp",
            "rear": "blunt",
            "windows": "square",
            "pattern": "plain",
            "color": {"black": 0.4, "green": 0.3, "blue": 0.3},
        },
        "tractor": {
            "body": "hood",
            "base": "giant",
            "top": "bare",
            "front": "lamp",
            "rear": "blunt",
            "windows": "square",
            "pattern": "plain",
            "color": {"green": 0.6, "red": 0.4},
        },
        "sailboat": {
            "body": "hull",
            "base": "waves",
            "top": "sail",
            "front": "cone",
            "rear": "blunt",
            "windows": {"none": 0.7, "round": 0.3},
            "pattern": {"plain": 0.6, "striped": 0.4},
            "color": {"brown": 0.4, "white": 0.3, "red": 0.3},
        },
        "submarine": {
            "body": "tube",
            "base": "waves",
            "top": "periscope",
            "front": "lamp",
            "rear": "fin",
            "windows": "round",
            "pattern": "plain",
            "color": {"yellow": 0.7, "gray": 0.3},
        },
        "helicopter": {
            "body": "bubble",
            "base": "skids",
            "top": "rotor",
            "front": "lamp",
            "rear": "boom",
            "windows": "round",
            "pattern": {"plain": 0.7, "checked": 0.3},
            "color": {"orange": 0.4, "blue": 0.3, "red": 0.3},
        },
        "airplane": {
            "body": "tube",
            "base": "wing",
            "top": "bare",
            "front": "propeller",
            "rear": "fin",
            "windows": "square",
            "pattern": {"plain": 0.7, "striped": 0.3},
            "color": {"white": 0.4, "blue": 0.3, "red": 0.3},
        },
        "rocket": {
            "body": "tube",
            "base": "wing",
            "top": "bare",
            "front": "cone",
            "rear": "flame",
            "windows": "round",
            "pattern": {"plain": 0.6, "checked": 0.4},
            "color": {"white": 0.4, "gray": 0.3, "red": 0.3},
        },
    },
    draw=draw,
)

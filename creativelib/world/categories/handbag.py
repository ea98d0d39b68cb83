"""Handbags: a body with a handle, a closure, something on the front, and a bottom."""

import torch

from .. import shapes as s
from ..canvas import Canvas
from ..factors import COLOR, Factor
from ..plan import Category
from ..shapes import XY, Distance, Points

BODY = Factor(
    "body",
    {
        "flared": "a flared body",
        "box": "a boxy body",
        "round": "a round body",
        "moon": "a half moon body",
        "arch": "a tall arched body",
        "sack": "a gathered sack body",
    },
)
HANDLE = Factor(
    "handle",
    {
        "none": "no handle",
        "grip": "a stiff grip",
        "loops": "two loops",
        "strap": "a long strap",
        "chain": "a gold chain",
        "wrist": "a wrist loop",
    },
)
CLOSURE = Factor(
    "closure",
    {
        "open": "an open top",
        "zip": "a zip",
        "flap": "a big flap",
        "buckle": "a buckle",
        "clasp": "a kiss clasp",
        "bow": "a ribbon bow",
    },
)
FRONT = Factor(
    "front",
    {
        "bare": "a bare front",
        "pocket": "a front pocket",
        "heart": "a heart patch",
        "star": "a star badge",
        "tassel": "a tassel",
    },
)
BOTTOM = Factor(
    "bottom",
    {
        "bare": "nothing below",
        "feet": "little feet",
        "wheels": "two wheels",
        "fringe": "a long fringe",
    },
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "spotted": "spotted"}, structural=False
)

GOLD = (0.98, 0.77, 0.25)
TAN = (0.62, 0.40, 0.22)
DARK = (0.30, 0.22, 0.22)
# Places on each body: of the handle's foot, of the long strap's right end, and of the wrist loop.
HOLDS: dict[str, XY] = {
    "flared": (0.0, 0.30),
    "box": (0.0, 0.20),
    "round": (0.0, 0.32),
    "moon": (0.0, 0.26),
    "arch": (0.0, 0.38),
    "sack": (0.0, 0.40),
}
SIDES: dict[str, XY] = {
    "flared": (0.68, 0.18),
    "box": (0.70, 0.0),
    "round": (0.52, -0.06),
    "moon": (0.70, 0.05),
    "arch": (0.50, 0.0),
    "sack": (0.56, -0.20),
}
CORNERS: dict[str, XY] = {
    "flared": (0.62, 0.50),
    "box": (0.62, 0.42),
    "round": (0.44, 0.52),
    "moon": (0.60, 0.44),
    "arch": (0.42, 0.58),
    "sack": (0.38, 0.56),
}
# The right end of the closure, which reaches as far to the left, and the middle of the front.
RIMS: dict[str, XY] = {
    "flared": (0.50, 0.20),
    "box": (0.53, 0.09),
    "round": (0.34, 0.17),
    "moon": (0.48, 0.12),
    "arch": (0.33, 0.20),
    "sack": (0.20, 0.17),
}
FRONTS: dict[str, XY] = {
    "flared": (0.0, -0.37),
    "box": (0.0, -0.41),
    "round": (0.0, -0.37),
    "moon": (0.0, -0.37),
    "arch": (0.0, -0.40),
    "sack": (0.0, -0.37),
}


def _outline(body: str, p: Points) -> Distance:
    match body:
        case "flared":
            return (
                s.polygon(s.mirror(p), [(-0.1, 0.26), (0.70, 0.26), (0.48, -0.60), (-0.1, -0.60)])
                - 0.05
            )
        case "box":
            return s.box(p, (0.0, -0.22), (0.76, 0.44), rounding=0.11)
        case "round":
            return s.circle(p, (0.0, -0.12), 0.55)
        case "moon":
            return -s.blend(-s.ellipse(p, (0.0, 0.12), (0.78, 0.78)), 0.25 - p[..., 1], 0.22)
        case "arch":
            return s.blend(
                s.box(p, (0.0, -0.33), (0.53, 0.33), rounding=0.12),
                s.ellipse(p, (0.0, 0.0), (0.51, 0.53)),
                0.05,
            )
        case _:
            ruffle = (
                s.polygon(
                    s.mirror(p),
                    [
                        (-0.1, 0.40),
                        (0.17, 0.37),
                        (0.36, 0.43),
                        (0.20, 0.18),
                        (0.30, 0.0),
                        (-0.1, 0.0),
                    ],
                )
                - 0.02
            )
            return s.blend(ruffle, s.ellipse(p, (0.0, -0.24), (0.60, 0.42)), 0.1)


def _handle(c: Canvas) -> None:
    for handle, h in c.by("handle"):
        p = h.at("hold")
        match handle:
            case "grip":
                h.paint(s.ring(s.box(p, (0.0, -0.02), (0.30, 0.30), rounding=0.07), 0.065), DARK)
            case "loops":
                for shift, color in ((0.11, h.shade(-0.3)), (-0.05, h.shade(0.2))):
                    h.paint(s.ring(s.ellipse(p, (shift, 0.0), (0.29, 0.40)), 0.05), color)
            case "strap":
                h.paint(_strap(h), h.shade(-0.15))
            case "chain":
                h.paint(
                    s.intersect(
                        s.petals(p, (0.0, 0.0), 13, distance=0.36, radii=(0.065, 0.085)),
                        -0.08 - p[..., 1],
                    ),
                    GOLD,
                )
            case "wrist":
                h.paint(
                    s.ring(s.ellipse(h.at("corner"), (0.0, 0.0), (0.13, 0.27), degrees=-28), 0.05),
                    TAN,
                )
            case _:
                pass


def _strap(c: Canvas) -> Distance:
    """Compute the distance to an arch from side to side, as high as the picture allows."""
    side = _spot(c, "side")
    radii = torch.stack([side[..., 0], 0.80 - side[..., 1]], -1)
    p = torch.stack([c.p[..., 0], c.p[..., 1] - side[..., 1]], -1)
    k0 = (p / radii).norm(dim=-1)
    k1 = (p / radii**2).norm(dim=-1)
    arch = k0 * (k0 - 1) / k1.clamp_min(1e-3)
    return s.intersect(s.ring(arch, 0.055), -0.1 - p[..., 1])


def _spot(c: Canvas, name: str) -> torch.Tensor:
    """Return a named place as coordinates of shape (m, 1, 1, 2)."""
    return c.p[:, :1, :1] - c.at(name)[:, :1, :1]


def _bottom(c: Canvas) -> None:
    """Paint the bottoms that lie behind the body. Wheels follow with the front."""
    for b in c.where("bottom", "feet"):
        b.paint(s.capsule(s.mirror(b.p), (0.24, -0.5), (0.28, -0.72), r=0.09), GOLD)
    for b in c.where("bottom", "fringe"):
        x = b.p[..., 0]
        strand = torch.stack([x - 0.15 * (x / 0.15).round().clamp(-2, 2), b.p[..., 1]], -1)
        b.paint(s.box(strand, (0.0, -0.60), (0.052, 0.24), rounding=0.03), TAN)


def _body(c: Canvas) -> None:
    for body, b in c.by("body"):
        d = b.keep("body", _outline(body, b.p))
        b.paint(d)
        b.paint(
            s.subtract(d + 0.03, _outline(body, b.p + b.p.new_tensor([0.08, -0.06]))),
            b.shade(-0.15),
            outline=0,
        )
    for pattern, q in c.by("pattern"):
        if pattern == "striped":
            q.pattern(
                s.intersect(q.shape("body") + 0.03, s.stripes(q.p, 0.3, degrees=0, share=0.42))
            )
        elif pattern == "spotted":
            q.pattern(
                s.intersect(
                    q.shape("body") + 0.03, s.dots(q.p - q.p.new_tensor([0.0, 0.06]), 0.27, 0.075)
                )
            )
    for b in c.where("body", "sack"):
        b.ink(s.capsule(s.mirror(b.p), (0.10, 0.26), (0.14, 0.36), r=0.024))


def _closure(c: Canvas) -> None:
    for closure, b in c.by("closure"):
        rim = _spot(b, "rim")
        p = torch.stack([b.p[..., 0], b.p[..., 1] - rim[..., 1]], -1)
        bar = torch.stack([(p[..., 0].abs() - rim[..., 0]).clamp_min(0), p[..., 1]], -1).norm(
            dim=-1
        )
        match closure:
            case "open":
                b.paint(bar - 0.10, DARK)
            case "zip":
                b.paint(bar - 0.085, (0.90, 0.90, 0.88))
                b.ink(s.intersect(bar - 0.06, s.stripes(p, 0.12, degrees=0, share=0.42)))
                b.paint(s.capsule(b.at("rim"), (-0.10, -0.02), (-0.10, -0.20), r=0.065), GOLD)
            case "flap":
                b.paint(s.intersect(b.shape("body"), s.circle(p, (0.0, 0.62), 0.90)), b.shade(-0.2))
                b.paint(s.circle(p, (0.0, -0.20), 0.085), GOLD)
            case "buckle":
                b.paint(s.intersect(s.box(p, (0.0, 0.0), (0.11, 0.32)), b.shape("body")), TAN)
                b.paint(s.box(p, (0.0, -0.09), (0.20, 0.15), rounding=0.05), GOLD)
                b.paint(s.box(p, (0.0, -0.09), (0.11, 0.07), rounding=0.02), TAN)
            case "clasp":
                b.paint(bar - 0.06, GOLD)
                b.paint(s.circle(s.mirror(p), (0.09, 0.10), 0.095), GOLD)
            case _:
                q = s.mirror(p)
                pink = (0.98, 0.40, 0.55)
                b.paint(s.capsule(q, (0.02, -0.04), (0.14, -0.22), r=0.05), pink)
                b.paint(
                    s.polygon(q, [(0.0, 0.02), (0.26, 0.12), (0.28, -0.10), (0.0, -0.02)]) - 0.04,
                    pink,
                )
                b.paint(s.circle(p, (0.0, 0.0), 0.075), pink)


def _front(c: Canvas) -> None:
    for front, f in c.by("front"):
        p = f.at("front")
        match front:
            case "pocket":
                f.paint(s.box(p, (0.0, 0.0), (0.26, 0.18), rounding=0.08), f.shade(0.3))
                f.ink(s.box(p, (0.0, 0.06), (0.26, 0.024)))
                f.ink(s.circle(p, (0.0, -0.03), 0.04))
            case "heart":
                lobe = s.box(
                    s.move(s.mirror(p), (0.075, 0.05), -45),
                    (0.0, -0.03),
                    (0.10, 0.13),
                    rounding=0.095,
                )
                f.paint(
                    s.union(lobe, s.box(p, (0.0, -0.05), (0.09, 0.09), rounding=0.0, degrees=45)),
                    "red",
                )
            case "star":
                f.paint(_star(p, 0.23), "yellow")
            case "tassel":
                q = p - p.new_tensor([-0.30, 0.12])
                f.paint(
                    s.polygon(
                        s.mirror(q), [(-0.1, 0.06), (0.07, 0.06), (0.16, -0.25), (-0.1, -0.25)]
                    ),
                    "red",
                )
                f.paint(s.circle(q, (0.0, 0.09), 0.095), GOLD)
            case _:
                pass
    for w in c.where("bottom", "wheels"):
        q = s.mirror(w.p)
        w.paint(s.circle(q, (0.34, -0.64), 0.16), DARK)
        w.paint(s.circle(q, (0.34, -0.64), 0.06), "white")


def _star(p: Points, r: float) -> Distance:
    """Compute the distance to a five-pointed star by folding all points onto one."""
    angle = torch.atan2(p[..., 0], p[..., 1])
    fold = (angle - 1.25664 * (angle / 1.25664).round()).abs()
    q = p.norm(dim=-1, keepdim=True) * torch.stack([fold.cos(), fold.sin()], -1)
    return (q[..., 0] - r) * 0.62 + q[..., 1] * 0.78


def draw(c: Canvas) -> None:
    """Paint handbags with any combination of the factors' values."""
    for spot, places in {
        "hold": HOLDS,
        "side": SIDES,
        "corner": CORNERS,
        "rim": RIMS,
        "front": FRONTS,
    }.items():
        c.put(spot, "body", places)
    _handle(c)
    _bottom(c)
    _body(c)
    _closure(c)
    _front(c)


def _species(
    body: str, handle: str, closure: str, front: str, bottom: str, pattern: str, colors: str
) -> dict[str, str | dict[str, float]]:
    patterns = pattern.split()
    names = colors.split()
    return {
        "body": body,
        "handle": handle,
        "closure": closure,
        "front": front,
        "bottom": bottom,
        "pattern": {name: 1 / len(patterns) for name in patterns},
        "color": {name: 1 / len(names) for name in names},
    }


HANDBAG = Category(
    name="handbag",
    factors=(BODY, HANDLE, CLOSURE, FRONT, BOTTOM, PATTERN, COLOR),
    species={
        "tote": _species(
            body="flared",
            handle="loops",
            closure="open",
            front="heart",
            bottom="bare",
            pattern="plain striped",
            colors="white blue pink",
        ),
        "clutch": _species(
            body="box",
            handle="none",
            closure="flap",
            front="bare",
            bottom="bare",
            pattern="plain",
            colors="pink black purple",
        ),
        "satchel": _species(
            body="box",
            handle="strap",
            closure="buckle",
            front="pocket",
            bottom="feet",
            pattern="plain",
            colors="brown red",
        ),
        "briefcase": _species(
            body="box",
            handle="grip",
            closure="clasp",
            front="bare",
            bottom="feet",
            pattern="plain",
            colors="brown black",
        ),
        "suitcase": _species(
            body="box",
            handle="grip",
            closure="buckle",
            front="star",
            bottom="wheels",
            pattern="plain striped",
            colors="blue red",
        ),
        "backpack": _species(
            body="arch",
            handle="grip",
            closure="zip",
            front="pocket",
            bottom="bare",
            pattern="plain spotted",
            colors="blue green red",
        ),
        "purse": _species(
            body="round",
            handle="chain",
            closure="clasp",
            front="bare",
            bottom="bare",
            pattern="plain spotted",
            colors="red purple",
        ),
        "pouch": _species(
            body="sack",
            handle="wrist",
            closure="bow",
            front="star",
            bottom="bare",
            pattern="plain",
            colors="purple green",
        ),
        "saddlebag": _species(
            body="moon",
            handle="strap",
            closure="flap",
            front="bare",
            bottom="fringe",
            pattern="plain",
            colors="brown orange",
        ),
        "duffel": _species(
            body="box",
            handle="loops",
            closure="zip",
            front="pocket",
            bottom="feet",
            pattern="striped",
            colors="gray blue",
        ),
        "crossbody": _species(
            body="moon",
            handle="chain",
            closure="zip",
            front="tassel",
            bottom="bare",
            pattern="plain",
            colors="pink yellow",
        ),
    },
    draw=draw,
)

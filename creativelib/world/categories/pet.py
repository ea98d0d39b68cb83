"""Pets: a body seen from the side with a big head, ears, a tail, legs and something on the back."""

import torch

from .. import shapes as s
from ..canvas import Canvas
from ..factors import COLOR, Factor, Species
from ..plan import Category

BODY = Factor(
    "body",
    {"round": "a round body", "slim": "a slim body", "long": "a long body", "tall": "a tall body"},
)
EARS = Factor(
    "ears",
    {
        "none": "no ears",
        "pointy": "pointy ears",
        "floppy": "floppy ears",
        "long": "long ears",
        "round": "round ears",
        "antlers": "antlers",
    },
)
TAIL = Factor(
    "tail",
    {
        "thin": "a thin tail",
        "bushy": "a bushy tail",
        "puff": "a puff tail",
        "fan": "a fish tail",
        "feathers": "tail feathers",
        "spike": "a pointed tail",
    },
)
LEGS = Factor(
    "legs", {"four": "four legs", "two": "two thin legs", "short": "short legs", "fins": "fins"}
)
FACE = Factor(
    "face",
    {
        "snout": "a snout",
        "beak": "a beak",
        "whiskers": "whiskers",
        "teeth": "big teeth",
        "smile": "a big smile",
    },
)
BACK = Factor(
    "back", {"bare": "a bare back", "wing": "a wing", "shell": "a shell", "sail": "a back fin"}
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "spotted": "spotted"}, structural=False
)

# Places of the parts on each body that stands on four legs.
SPOTS = {
    "body": {
        "round": (-0.08, -0.14),
        "slim": (-0.08, -0.26),
        "long": (-0.06, -0.29),
        "tall": (0.02, -0.16),
    },
    "head": {
        "round": (0.34, 0.18),
        "slim": (0.34, 0.12),
        "long": (0.46, 0.06),
        "tall": (0.18, 0.24),
    },
    "rump": {
        "round": (-0.44, -0.16),
        "slim": (-0.44, -0.22),
        "long": (-0.50, -0.24),
        "tall": (-0.26, -0.30),
    },
}
# How much other legs lift or, if negative, lower the body and all that sits on it.
LIFT = {"four": 0.0, "two": 0.0, "short": -0.13, "fins": 0.0}
# The lowest lift. Windows reach down by it, so that they hold the part on any legs.
LOW = min(LIFT.values())
HORN = (0.66, 0.45, 0.26)
BEAK = (1.0, 0.74, 0.16)
RIM = (0.86, 0.70, 0.42)
MOUTH = (0.55, 0.12, 0.18)
TONGUE = (0.96, 0.45, 0.52)


def _tail(c: Canvas, body: str) -> None:
    x, y = SPOTS["rump"][body]
    for tail, t in c.by("tail"):
        low, high = {
            "thin": (-0.15, 0.55),
            "bushy": (-0.20, 0.65),
            "puff": (-0.18, 0.30),
            "fan": (-0.45, 0.45),
            "feathers": (-0.38, 0.20),
            "spike": (-0.23, 0.23),
        }[tail]
        t = t.window((x - 0.45, x + 0.3), (y + low + LOW, y + high))
        p = t.at("rump")
        match tail:
            case "thin":
                t.paint(
                    s.path(
                        p,
                        [
                            (0.08, -0.03),
                            (-0.14, -0.01),
                            (-0.27, 0.10),
                            (-0.31, 0.25),
                            (-0.25, 0.42),
                        ],
                        0.055,
                    )
                )
            case "bushy":
                d = s.blend(
                    s.ellipse(p, (-0.17, 0.30), (0.17, 0.29), degrees=8),
                    s.capsule(p, (0.1, -0.05), (-0.1, 0.12), r=0.10),
                    0.12,
                )
                wave = 0.40 + 0.05 * torch.cos(28 * p[..., 0]) - p[..., 1]
                t.paint(d)
                t.paint(s.intersect(d + 0.02, wave), t.shade(0.65), outline=0)
                t.ink(s.intersect(d, s.ring(wave, 0.02)))
            case "puff":
                t.paint(_frill(p, (-0.07, 0.06), 0.16, bumps=8), t.shade(0.7))
            case "fan":
                q = torch.stack([p[..., 0], p[..., 1].abs()], -1)
                t.paint(
                    s.union(
                        s.ellipse(q, (-0.17, 0.17), (0.26, 0.14), degrees=-48),
                        s.capsule(q, (0.1, 0.0), (-0.08, 0.0), r=0.12),
                    ),
                    t.shade(-0.2),
                )
                t.ink(s.capsule(q, (-0.06, 0.06), (-0.24, 0.24), r=0.018))
            case "feathers":
                for end, amount in (
                    ((-0.20, -0.24), -0.35),
                    ((-0.27, -0.10), 0.35),
                    ((-0.27, 0.06), -0.15),
                ):
                    t.paint(s.capsule(p, (0.10, 0.06), end, r=0.06, r_end=0.085), t.shade(amount))
            case "spike":
                t.paint(s.capsule(p, (0.10, 0.0), (-0.34, 0.04), r=0.17, r_end=0.01))


def _frill(p: s.Points, xy: s.XY, r: float, bumps: int) -> s.Distance:
    """Compute the distance to a disk with a scalloped edge."""
    q = p - p.new_tensor(xy)
    return q.norm(dim=-1) - r * (1 + 0.08 * torch.cos(bumps * torch.atan2(q[..., 1], q[..., 0])))


def _sail(c: Canvas, body: str) -> None:
    """Paint the round fin on the back. On an upright body it stands off to the rear."""
    at, turn = {
        "round": ((-0.18, 0.20), 20),
        "slim": ((-0.16, 0.06), 8),
        "long": ((-0.16, 0.04), 0),
        "tall": ((-0.08, 0.10), 50),
    }[body]
    p = s.move(c.at("body"), at, turn)
    c.paint(s.intersect(_frill(p, (0, 0), 0.36, bumps=9), -p[..., 1]), c.shade(-0.25))
    q = s.mirror(p)
    c.ink(
        s.union(
            s.capsule(q, (0, 0), (0.25, 0.15), r=0.018), s.capsule(q, (0, 0), (0.10, 0.28), r=0.018)
        )
    )


def _legs(c: Canvas, body: str) -> None:
    near, far = {
        "round": (0.25, 0.09),
        "slim": (0.31, 0.15),
        "long": (0.44, 0.27),
        "tall": (0.19, 0.06),
    }[body]
    middle, top = SPOTS["body"][body]
    for legs, g in c.by("legs"):
        g = g.window(
            (middle - near - 0.25, middle + near + 0.15),
            (-0.80, -0.40 if legs == "short" else top + 0.03),
        )
        p = s.move(g.p, (middle, -0.72))
        q = s.mirror(p)
        match legs:
            case "four":
                for x, amount in ((far, -0.3), (near, 0.0)):
                    g.paint(
                        s.box(q, (x, (top + 0.72) / 2), (0.085, (top + 0.72) / 2), rounding=0.06),
                        g.shade(amount),
                    )
            case "two":
                q = q - q.new_tensor([0.11, 0])
                g.paint(
                    s.union(
                        s.box(q, (0, 0.2), (0.04, 0.2)),
                        s.polygon(q, [(0, 0.1), (0.08, 0.02), (-0.08, 0.02)]) - 0.02,
                    ),
                    BEAK,
                )
            case "short":
                for x, amount in ((far, -0.3), (near, 0.0)):
                    g.paint(s.box(q, (x, 0.12), (0.10, 0.12), rounding=0.09), g.shade(amount))
            case "fins":
                fins = (
                    s.ellipse(p, (x, 0.17), (0.11, 0.22), degrees=-40)
                    for x in (near - 0.08, -far - 0.08)
                )
                g.paint(s.union(*fins), g.shade(-0.25))


def _body(c: Canvas, body: str) -> None:
    p = c.at("body")
    match body:
        case "round":
            d = s.ellipse(p, (0, 0), (0.42, 0.37))
        case "slim":
            d = s.ellipse(p, (0, 0), (0.43, 0.23))
        case "long":
            d = s.box(p, (0, 0), (0.56, 0.19), rounding=0.18)
        case _:
            d = s.ellipse(p, (0, 0), (0.29, 0.38))
    c.paint(c.keep("body", d))
    for q in c.where("pattern", "striped"):
        q.pattern(
            s.intersect(
                q.shape("body") + 0.03, s.stripes(q.at("body"), 0.2, degrees=12, share=0.42)
            )
        )
    for q in c.where("pattern", "spotted"):
        q.pattern(s.intersect(q.shape("body") + 0.03, s.dots(q.at("body"), 0.2, 0.062)))


def _flank(c: Canvas, body: str) -> None:
    """Paint the part on the side of the body: a fin, a wing or a shell."""
    for f in c.where("legs", "fins"):
        p = f.at("body")
        f.paint(s.ellipse(p, (-0.02, -0.12), (0.18, 0.095), degrees=25), f.shade(0.35))
        f.ink(s.capsule(p, (0.02, -0.10), (-0.12, -0.16), r=0.018))
    for w in c.where("back", "wing"):
        p = w.at("body") - w.p.new_tensor([0.0, -0.06 if body == "tall" else 0.0])
        tips = (((-0.24, 0.04), 0.07), ((-0.32, 0.20), 0.08), ((-0.28, 0.39), 0.09))
        feathers = [s.capsule(p, (0.04, 0.0), tip, r=0.13, r_end=r) for tip, r in tips]
        w.paint(s.union(*feathers), w.shade(0.35))
        w.ink(
            s.union(
                s.capsule(p, (-0.10, 0.08), (-0.34, 0.11), r=0.018),
                s.capsule(p, (-0.06, 0.16), (-0.34, 0.29), r=0.018),
            )
        )
    for h in c.where("back", "shell"):
        at, turn, (rx, ry) = {
            "round": ((-0.07, 0.02), 0, (0.44, 0.42)),
            "slim": ((-0.07, 0.04), 0, (0.41, 0.34)),
            "long": ((-0.10, 0.04), 0, (0.44, 0.32)),
            "tall": ((0.01, 0.02), 62, (0.34, 0.33)),
        }[body]
        p = s.move(h.at("body"), at, turn)
        q = s.mirror(p)
        dome = s.intersect(s.ellipse(p, (0, 0), (rx, ry)), -p[..., 1])
        h.paint(dome, HORN)
        seams = s.union(
            s.path(q, [(0.0, 0.24), (0.13, 0.24), (0.22, 0.0)], 0.018),
            s.capsule(q, (0.13, 0.24), (0.24, 0.42), r=0.018),
        )
        h.ink(s.intersect(dome, seams))
        h.paint(s.box(p, (0, 0), (rx + 0.03, 0.055), rounding=0.05), RIM)


def _head(c: Canvas, x: float, y: float) -> None:
    for ears, e in c.by("ears"):
        if ears in ("none", "floppy"):
            continue
        width, height = {
            "pointy": (0.32, 0.52),
            "long": (0.32, 0.70),
            "round": (0.45, 0.43),
            "antlers": (0.45, 0.62),
        }[ears]
        e = e.window((x - width, x + width), (y + LOW, y + height))
        p = e.at("head")
        q = s.mirror(p)
        match ears:
            case "pointy":
                e.paint(s.polygon(q, [(0.05, 0.18), (0.26, 0.10), (0.25, 0.45)]) - 0.02)
                e.paint(s.polygon(q, [(0.13, 0.18), (0.23, 0.15), (0.22, 0.35)]), "pink", outline=0)
            case "long":
                e.paint(s.ellipse(q, (0.14, 0.40), (0.10, 0.25), degrees=-10))
                e.paint(s.ellipse(q, (0.14, 0.40), (0.045, 0.17), degrees=-10), "pink", outline=0)
            case "round":
                e.paint(s.circle(q, (0.24, 0.22), 0.16))
                e.paint(s.circle(q, (0.24, 0.23), 0.085), "pink", outline=0)
            case "antlers":
                e.paint(
                    s.union(
                        s.path(q, [(0.09, 0.2), (0.16, 0.36), (0.30, 0.52)], 0.045),
                        s.capsule(q, (0.16, 0.36), (0.10, 0.53), r=0.04),
                        s.capsule(q, (0.22, 0.42), (0.37, 0.40), r=0.04),
                    ),
                    HORN,
                )
    c = c.window((x - 0.42, x + 0.42), (y - 0.33 + LOW, y + 0.33))
    c.paint(s.circle(c.at("head"), (0, 0), 0.28))
    for e in c.where("ears", "floppy"):
        e.paint(
            s.ellipse(s.mirror(e.at("head")), (0.27, -0.02), (0.10, 0.21), degrees=12),
            e.shade(-0.3),
        )


def _face(c: Canvas, x: float, y: float) -> None:
    eyes = c.window((x - 0.16, x + 0.26), (y - 0.02 + LOW, y + 0.2))
    p = s.move(eyes.at("head"), (0.05, 0.09))
    left = s.circle(p, (-0.1, 0), 0.09)
    right = s.circle(p, (0.105, 0), 0.09)
    eyes.paint(s.union(left, right), "white", outline=0)
    shine = s.union(s.circle(p, (-0.08, 0.025), 0.028), s.circle(p, (0.125, 0.025), 0.028))
    eyes.ink(s.subtract(s.union(left, right) + 0.018, shine))
    for face, f in c.by("face"):
        reach = 0.5 if face == "whiskers" else 0.42
        f = f.window(
            (x + 0.05 - (reach if face == "whiskers" else 0.3), x + 0.05 + reach),
            (y - 0.4 + LOW, y + 0.05),
        )
        p = s.move(f.at("head"), (0.05, 0.0))
        q = s.mirror(p)
        match face:
            case "snout":
                f.paint(s.capsule(p, (0.08, -0.2), (0.08, -0.28), r=0.06), TONGUE)
                f.paint(s.ellipse(p, (0.08, -0.14), (0.20, 0.12)), f.shade(0.6))
                f.ink(s.ellipse(p, (0.14, -0.09), (0.08, 0.055)))
            case "beak":
                bill = [
                    (-0.08, -0.09),
                    (0.10, -0.03),
                    (0.26, -0.07),
                    (0.33, -0.24),
                    (0.16, -0.20),
                    (0.02, -0.22),
                ]
                f.paint(s.polygon(p, bill) - 0.025, BEAK)
                f.ink(s.path(p, [(0.0, -0.15), (0.16, -0.13), (0.24, -0.15)], 0.018))
            case "whiskers":
                d = s.union(
                    s.capsule(q, (0.16, -0.09), (0.43, -0.03), r=0.018),
                    s.capsule(q, (0.16, -0.15), (0.41, -0.21), r=0.018),
                )
                f.paint(d, "white", outline=0)
                f.ink(s.union(d, s.capsule(q, (0, -0.19), (0.10, -0.16), r=0.022)))
                f.paint(s.circle(p, (0, -0.09), 0.05), TONGUE, outline=0)
            case "teeth":
                f.paint(s.box(p, (0, -0.22), (0.095, 0.11), rounding=0.02), "white")
                f.ink(s.box(p, (0, -0.25), (0.016, 0.08)))
                f.paint(s.circle(q, (0.08, -0.11), 0.09), f.shade(0.6), outline=0.7)
                f.paint(s.circle(p, (0, -0.05), 0.045), TONGUE, outline=0)
            case "smile":
                f.paint(s.ellipse(q, (0.20, -0.05), (0.06, 0.045)), "pink", outline=0)
                mouth = s.intersect(s.circle(p, (0, -0.06), 0.15), p[..., 1] + 0.06)
                f.paint(mouth, MOUTH)
                f.paint(s.intersect(mouth + 0.03, s.circle(p, (0, -0.24), 0.11)), TONGUE, outline=0)


def draw(c: Canvas) -> None:
    """Paint pets with any combination of the factors' values."""
    for legs, g in c.by("legs"):
        for spot, places in SPOTS.items():
            g.put(spot, "body", {body: (x, y + LIFT[legs]) for body, (x, y) in places.items()})
    for body, b in c.by("body"):
        body_x, body_y = SPOTS["body"][body]
        for fin in b.where("back", "sail"):
            _sail(
                fin.window((body_x - 0.6, body_x + 0.25), (body_y - 0.3 + LOW, body_y + 0.62)), body
            )
        _tail(b, body)
        _legs(b, body)
        width = 0.62 if body == "long" else 0.48
        _body(
            b.window((body_x - width, body_x + width), (body_y - 0.43 + LOW, body_y + 0.43)), body
        )
        _flank(b.window((body_x - 0.6, body_x + 0.45), (body_y - 0.43 + LOW, body_y + 0.55)), body)
        _head(b, *SPOTS["head"][body])
        _face(b, *SPOTS["head"][body])


def _species(
    body: str, ears: str, tail: str, legs: str, face: str, back: str, patterns: str, colors: str
) -> Species:
    def share(values: str) -> dict[str, float]:
        return {v: 1 / len(values.split()) for v in values.split()}

    return {
        "body": body,
        "ears": ears,
        "tail": tail,
        "legs": legs,
        "face": face,
        "back": back,
        "pattern": share(patterns),
        "color": share(colors),
    }


PET = Category(
    name="pet",
    factors=(BODY, EARS, TAIL, LEGS, FACE, BACK, PATTERN, COLOR),
    species={
        "cat": _species(
            body="slim",
            ears="pointy",
            tail="thin",
            legs="four",
            face="whiskers",
            back="bare",
            patterns="plain striped",
            colors="orange gray black",
        ),
        "dog": _species(
            body="round",
            ears="floppy",
            tail="thin",
            legs="four",
            face="snout",
            back="bare",
            patterns="plain spotted",
            colors="brown white yellow",
        ),
        "rabbit": _species(
            body="tall",
            ears="long",
            tail="puff",
            legs="short",
            face="teeth",
            back="bare",
            patterns="plain",
            colors="white gray brown pink",
        ),
        "mouse": _species(
            body="round",
            ears="round",
            tail="thin",
            legs="short",
            face="whiskers",
            back="bare",
            patterns="plain",
            colors="gray white",
        ),
        "hamster": _species(
            body="round",
            ears="round",
            tail="puff",
            legs="short",
            face="teeth",
            back="bare",
            patterns="plain spotted",
            colors="orange yellow brown",
        ),
        "squirrel": _species(
            body="tall",
            ears="pointy",
            tail="bushy",
            legs="short",
            face="teeth",
            back="bare",
            patterns="plain",
            colors="orange brown red",
        ),
        "ferret": _species(
            body="long",
            ears="round",
            tail="bushy",
            legs="short",
            face="whiskers",
            back="bare",
            patterns="plain",
            colors="white brown",
        ),
        "fox": _species(
            body="slim",
            ears="pointy",
            tail="bushy",
            legs="four",
            face="snout",
            back="bare",
            patterns="plain",
            colors="orange red",
        ),
        "dachshund": _species(
            body="long",
            ears="floppy",
            tail="thin",
            legs="short",
            face="snout",
            back="bare",
            patterns="plain",
            colors="brown orange black",
        ),
        "bear": _species(
            body="round",
            ears="round",
            tail="puff",
            legs="four",
            face="snout",
            back="bare",
            patterns="plain",
            colors="brown black white",
        ),
        "donkey": _species(
            body="slim",
            ears="long",
            tail="thin",
            legs="four",
            face="snout",
            back="bare",
            patterns="plain",
            colors="gray brown",
        ),
        "deer": _species(
            body="slim",
            ears="antlers",
            tail="puff",
            legs="four",
            face="snout",
            back="bare",
            patterns="spotted",
            colors="brown orange",
        ),
        "parrot": _species(
            body="tall",
            ears="none",
            tail="feathers",
            legs="two",
            face="beak",
            back="wing",
            patterns="plain",
            colors="red green blue",
        ),
        "duck": _species(
            body="slim",
            ears="none",
            tail="spike",
            legs="two",
            face="beak",
            back="wing",
            patterns="plain",
            colors="white brown green",
        ),
        "chick": _species(
            body="round",
            ears="none",
            tail="puff",
            legs="two",
            face="beak",
            back="wing",
            patterns="plain",
            colors="yellow",
        ),
        "goldfish": _species(
            body="round",
            ears="none",
            tail="fan",
            legs="fins",
            face="smile",
            back="sail",
            patterns="plain striped",
            colors="orange red yellow",
        ),
        "seal": _species(
            body="long",
            ears="none",
            tail="fan",
            legs="fins",
            face="whiskers",
            back="bare",
            patterns="plain spotted",
            colors="gray white",
        ),
        "turtle": _species(
            body="round",
            ears="none",
            tail="spike",
            legs="short",
            face="smile",
            back="shell",
            patterns="plain spotted",
            colors="green",
        ),
        "iguana": _species(
            body="long",
            ears="none",
            tail="spike",
            legs="short",
            face="smile",
            back="sail",
            patterns="striped",
            colors="green",
        ),
    },
    draw=draw,
)

"""Musical instruments: a body between a base and a neck.

Something on the body makes the sound, and there are an end on top and an accessory.
"""

from torch import Tensor

from .. import shapes as s
from ..canvas import Canvas
from ..factors import COLOR, Factor, Species
from ..plan import Category
from ..shapes import Distance, Points

BODY = Factor(
    "body",
    {
        "waisted": "a waisted body",
        "round": "a round body",
        "box": "a box body",
        "barrel": "a barrel body",
        "tube": "a tube body",
        "harp": "a harp frame",
    },
)
NECK = Factor("neck", {"none": "no neck", "long": "a long neck", "bent": "a bent pipe"})
SOUND = Factor(
    "sound",
    {
        "strings": "strings",
        "keys": "piano keys",
        "holes": "finger holes",
        "skin": "a drum skin",
        "bars": "rainbow bars",
        "valves": "valves",
    },
)
TOP = Factor(
    "top",
    {
        "none": "no head",
        "pegs": "tuning pegs",
        "scroll": "a scroll",
        "bell": "a wide bell",
        "mouthpiece": "a mouthpiece",
    },
)
BASE = Factor(
    "base", {"none": "no base", "legs": "two legs", "horn": "a curved horn", "bellows": "bellows"}
)
EXTRA = Factor(
    "extra",
    {
        "none": "no accessory",
        "strap": "a strap",
        "bow": "a bow",
        "sticks": "sticks",
        "jingles": "jingles",
    },
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "spotted": "spotted"}, structural=False
)

WOOD = (0.63, 0.41, 0.22)
EBONY = (0.25, 0.17, 0.15)
CREAM = (0.99, 0.96, 0.87)
SILVER = (0.84, 0.86, 0.90)
GOLD = (1.0, 0.80, 0.22)
LEATHER = (0.70, 0.28, 0.20)
PLAIN = {"plain": 1.0}
SPOTTED = {"plain": 0.5, "spotted": 0.5}


def _unit(c: Canvas) -> tuple[Points, Tensor]:
    """Express points in the body's frame, where every body reaches from y = -0.5 to 0.5.

    Also returns the scale of the frame, by which to multiply distances in it.
    """
    low = c.at("low")
    high = c.at("high")
    k = (low - high)[:, :1, :1, 1:]
    return (low + high) / (2 * k), k[..., 0]


def _repeat(p: Points, axis: int, step: float, count: float) -> Points:
    """Fold space so that a shape around 0 appears `count` times, `step` apart.

    `count` must be odd.
    """
    q = p.clone()
    q[..., axis] -= step * (p[..., axis] / step).round().clamp(-(count - 1) / 2, (count - 1) / 2)
    return q


def _sticks(c: Canvas) -> None:
    for x in c.where("extra", "sticks"):
        p = s.mirror(x.p)
        x.paint(s.path(p, [(0.66, -0.74), (0, -0.05), (0.68, 0.66)], 0.045), WOOD)
        x.paint(s.circle(p, (0.68, 0.66), 0.125), CREAM)


def _strap(c: Canvas) -> None:
    for x in c.where("extra", "strap"):
        for neck, n in x.by("neck"):
            loop = s.ellipse(n.p, (-0.22, -0.02), (0.56 if neck == "none" else 0.46, 0.50))
            n.paint(s.intersect(s.ring(loop, 0.075), n.p[..., 0] - 0.05), LEATHER)
            n.ink(s.intersect(s.ring(loop, 0.012), n.p[..., 0]))


def _base(c: Canvas) -> None:
    for b in c.where("base", "legs"):
        p = s.mirror(b.p)
        b.paint(
            s.union(
                s.capsule(p, (0.14, 0.0), (0.46, -0.76), r=0.075, r_end=0.055),
                s.box(p, (0.48, -0.79), (0.11, 0.05), rounding=0.04),
            ),
            WOOD,
        )
    for b in c.where("base", "bellows"):
        b.paint(
            s.box(
                _repeat(s.move(b.p, (0, -0.54)), 1, 0.13, count=3),
                (0, 0),
                (0.54, 0.07),
                rounding=0.07,
            ),
            CREAM,
            outline=0.8,
        )
        b.paint(s.box(b.p, (0, -0.79), (0.54, 0.075), rounding=0.04))


def _horn(c: Canvas) -> None:
    """Paint the curved horn of a saxophone, from under the body up its right side."""
    for b in c.where("base", "horn"):
        x, y = b.p.unbind(-1)
        bend = s.intersect(s.ring(s.circle(b.p, (0.29, -0.42), 0.29), 0.105), y + 0.42)
        flare = (x - 0.59).abs() - 0.115 - 0.115 * ((y + 0.43) / 0.41).clamp(0, 1) ** 2
        b.paint(s.union(bend, s.intersect(flare * 0.8, (y + 0.225).abs() - 0.205)))
        b.paint(s.ellipse(b.p, (0.59, -0.02), (0.23, 0.085)), b.shade(-0.5))


def _shape(body: str, p: Points) -> Distance:
    x, y = p.unbind(-1)
    match body:
        case "waisted":
            return s.blend(
                s.ellipse(p, (0, -0.20), (0.47, 0.30)), s.ellipse(p, (0, 0.26), (0.36, 0.24)), 0.09
            )
        case "round":
            return s.circle(p, (0, 0), 0.5)
        case "box":
            return s.box(p, (0, 0), (0.52, 0.5), rounding=0.07)
        case "barrel":
            return s.union(
                s.box(p, (0, 0), (0.48, 0.34)),
                s.ellipse(p, (0, 0.34), (0.48, 0.16)),
                s.ellipse(p, (0, -0.34), (0.48, 0.16)),
            )
        case "tube":
            return s.union(
                s.intersect(x.abs() - 0.18 - 0.05 * y, y.abs() - 0.5),
                s.box(p, (0, -0.45), (0.24, 0.05), rounding=0.04),
            )
        case _:
            pillar = s.union(
                s.capsule(p, (-0.42, 0.40), (-0.42, -0.42), r=0.07),
                s.circle(p, (-0.42, 0.41), 0.105),
            )
            arch = s.intersect(
                s.ring(s.circle(p, (0, -0.51), 0.95), 0.075), s.box(p, (0, 0.4), (0.47, 0.2))
            )
            board = s.union(
                s.capsule(p, (0.47, 0.30), (-0.28, -0.36), r=0.085, r_end=0.12),
                s.box(p, (-0.24, -0.45), (0.32, 0.06), rounding=0.04),
            )
            return s.union(pillar, arch, board)


def _body(c: Canvas) -> None:
    for b in c.where("body", "harp"):
        p, k = _unit(b)
        b.paint(s.polygon(p, [(-0.42, 0.40), (0.46, 0.32), (-0.40, -0.42)]) * k, CREAM)
    for body, b in c.by("body"):
        p, k = _unit(b)
        b.paint(b.keep("body", _shape(body, p) * k))
    for pattern, q in c.by("pattern"):
        if pattern == "striped":
            q.pattern(
                s.intersect(q.shape("body") + 0.03, s.stripes(q.p, 0.19, degrees=45, share=0.45))
            )
        elif pattern == "spotted":
            q.pattern(s.intersect(q.shape("body") + 0.03, s.dots(q.p, 0.18, 0.055)))
    for b in c.where("body", "barrel"):
        p, k = _unit(b)
        b.paint(s.ellipse(p, (0, 0.34), (0.48, 0.16)) * k, b.shade(0.5))


def _neck(c: Canvas) -> None:
    for n in c.where("neck", "long"):
        n.paint(s.box(n.p, (0, 0.33), (0.09, 0.25), rounding=0.02), WOOD)
        n.ink(s.box(_repeat(s.move(n.p, (0, 0.40)), 1, 0.09, count=3), (0, 0), (0.07, 0.016)))
    for n in c.where("neck", "bent"):
        x, y = n.p.unbind(-1)
        n.paint(
            s.intersect(
                s.ring(s.box(n.p, (-0.94, -0.55), (1.0, 1.0), rounding=0.2), 0.09),
                -0.30 - x,
                0.05 - y,
            )
        )


def _strings(c: Canvas) -> None:
    for body, b in c.by("body"):
        p, k = _unit(b)
        if body == "harp":
            for x, low in ((-0.24, -0.26), (-0.11, -0.14), (0.02, -0.03), (0.15, 0.08)):
                b.ink(s.box(p, (x, (low + 0.36) / 2), (0.02, (0.36 - low) / 2)) * k)
            continue
        wide = 0.6 if body == "tube" else 1.0
        b.paint(s.circle(p, (0, 0.08), 0.19 * wide) * k, EBONY)
        b.paint(s.box(p, (0, -0.28), (0.24 * wide, 0.06), rounding=0.03) * k, EBONY)
        b.pattern(s.box(_repeat(p, 0, 0.11 * wide, count=3), (0, 0.06), (0.022, 0.36)) * k, CREAM)


def _skin(c: Canvas) -> None:
    """Paint a round skin. On a barrel it lies on top, tied down with cords."""
    for body, b in c.by("body"):
        p, k = _unit(b)
        if body == "barrel":
            bottom = s.intersect(
                s.ring(s.ellipse(p, (0, -0.34), (0.48, 0.16)), 0.045), p[..., 1] + 0.34
            )
            b.paint(bottom * k, GOLD)
            b.paint((s.ellipse(p, (0, 0.34), (0.48, 0.16)) - 0.045) * k, GOLD)
            b.paint(s.ellipse(p, (0, 0.34), (0.44, 0.12)) * k, CREAM, outline=0.8)
            b.paint(
                s.path(s.mirror(p), [(0, 0.06), (0.22, -0.36), (0.44, 0.10)], 0.03) * k,
                CREAM,
                outline=0.7,
            )
        else:
            b.paint(s.circle(p, (0, 0), 0.34) * k, GOLD, outline=0.8)
            b.paint(s.circle(p, (0, 0), 0.255) * k, CREAM, outline=0.8)
            for n in b.where("neck", "long"):
                p, k = _unit(n)
                p = s.mirror(p)
                n.ink(
                    s.union(
                        s.box(p, (0.08, 0.06), (0.022, 0.2)), s.box(p, (0, -0.12), (0.15, 0.04))
                    )
                    * k
                )


def _sound(c: Canvas) -> None:
    for sound, o in c.by("sound"):
        p, k = _unit(o)
        match sound:
            case "strings":
                _strings(o)
            case "keys":
                o.paint(s.box(p, (0, -0.05), (0.39, 0.24), rounding=0.03) * k, "white", outline=0.8)
                black = s.union(
                    *(s.box(p, (x, 0.04), (0.045, 0.14)) for x in (-0.234, -0.078, 0.234))
                )
                o.ink(
                    s.union(
                        black,
                        s.box(
                            _repeat(s.move(p, (0.078, -0.05)), 0, 0.156, count=5),
                            (0, 0),
                            (0.012, 0.23),
                        ),
                    )
                    * k
                )
            case "holes":
                q = _repeat(p, 1, 0.28, count=3)
                o.paint(s.circle(q, (0, 0), 0.10) * k, CREAM, outline=0.6)
                o.ink(s.circle(q, (0, 0), 0.05) * k)
            case "skin":
                _skin(o)
            case "bars":
                for i, color in enumerate(("red", "orange", "yellow", "green", "blue")):
                    o.paint(
                        s.box(p, (-0.30 + 0.15 * i, 0), (0.067, 0.34 - 0.045 * i), rounding=0.03)
                        * k,
                        color,
                        outline=0.7,
                    )
            case _:
                o.paint(
                    s.ring(s.box(p, (0.05, 0), (0.24, 0.33), rounding=0.15), 0.055) * k, outline=0.7
                )
                q = _repeat(p, 1, 0.18, count=3)
                o.paint(s.box(q, (-0.06, 0), (0.32, 0.035)) * k, SILVER, outline=0.5)
                o.paint(
                    s.union(
                        s.box(q, (-0.38, 0), (0.05, 0.07), rounding=0.03),
                        s.box(q, (0.03, 0), (0.20, 0.068), rounding=0.03),
                    )
                    * k,
                    SILVER,
                    outline=0.5,
                )


def _top(c: Canvas) -> None:
    for neck, n in c.by("neck"):
        for top, t in n.by("top"):
            p = (
                s.move(t.p, (-0.28, 0.45), 52)
                if neck == "bent"
                else s.move(t.p, (0, 0.5 if neck == "none" else 0.54))
            )
            q = s.mirror(p)
            match top:
                case "pegs":
                    t.paint(
                        s.union(
                            s.capsule(q, (0, 0.10), (0.22, 0.10), r=0.045),
                            s.capsule(q, (0, 0.24), (0.22, 0.24), r=0.045),
                        ),
                        CREAM,
                    )
                    t.paint(s.box(p, (0, 0.15), (0.15, 0.19), rounding=0.05), WOOD)
                case "scroll":
                    t.paint(
                        s.union(
                            s.capsule(p, (0, -0.05), (0, 0.1), r=0.09),
                            s.circle(p, (0.03, 0.18), 0.18),
                        ),
                        WOOD,
                    )
                    t.ink(
                        s.subtract(
                            s.ring(s.circle(p, (0.03, 0.18), 0.09), 0.022),
                            (p - p.new_tensor((0.03, 0.18))).amax(-1),
                        )
                    )
                case "bell":
                    x, y = q.unbind(-1)
                    flare = x - 0.09 - 0.27 * ((y + 0.06) / 0.34).clamp(0, 1) ** 3
                    t.paint(s.intersect(flare * 0.6, (y - 0.11).abs() - 0.17))
                    t.paint(s.ellipse(p, (0, 0.28), (0.36, 0.09)), t.shade(-0.5))
                case "mouthpiece":
                    t.paint(s.capsule(p, (0, 0.02), (-0.03, 0.29), r=0.11, r_end=0.055), EBONY)
                    t.paint(s.box(p, (0, 0.02), (0.13, 0.05), rounding=0.02), GOLD)


def _bow(c: Canvas) -> None:
    for x in c.where("extra", "bow"):
        x.paint(s.box(x.p, (-0.67, -0.12), (0.035, 0.54)), "white", outline=0.6)
        rod = s.ring(s.circle(x.p, (0.56, -0.15), 1.40), 0.045)
        x.paint(
            s.intersect(rod, x.p[..., 0] + 0.68, (x.p[..., 1] + 0.14).abs() - 0.64),
            WOOD,
            outline=0.7,
        )
        x.paint(s.box(x.p, (-0.70, -0.60), (0.08, 0.08), rounding=0.02), EBONY)


def _jingles(c: Canvas) -> None:
    places = {
        "waisted": ((-0.33, 0.34), (0.33, 0.34), (-0.45, -0.20), (0.45, -0.20)),
        "tube": ((-0.26, 0.32), (0.26, 0.32), (-0.25, -0.34), (0.25, -0.34)),
        "harp": ((-0.45, 0.14), (0.48, 0.28), (-0.45, -0.22), (0.10, -0.12)),
    }
    for x in c.where("extra", "jingles"):
        for body, b in x.by("body"):
            p, k = _unit(b)
            spots = places.get(body, ((-0.46, 0.24), (0.46, 0.24), (-0.46, -0.24), (0.46, -0.24)))
            b.paint(
                s.union(*(s.circle(p, spot, 0) for spot in spots)) * k - 0.11, GOLD, outline=0.8
            )
            b.ink(s.union(*(s.box(p, spot, (0.07, 0.02)) for spot in spots)) * k)


def draw(c: Canvas) -> None:
    """Paint musical instruments with any combination of the factors' values."""
    c.put(
        "low",
        "base",
        {"none": (0, -0.72), "legs": (0, -0.57), "horn": (0, -0.55), "bellows": (0, -0.38)},
    )
    c.put("high", "neck", {"none": (0, 0.50), "long": (0, 0.26), "bent": (0, 0.22)})
    for part in (_sticks, _strap, _base, _neck, _body, _sound, _horn, _top, _bow, _jingles):
        part(c)


def _species(pattern: dict[str, float], colors: str, **structure: str) -> Species:
    names = colors.split()
    return {**structure, "pattern": pattern, "color": {name: 1 / len(names) for name in names}}


INSTRUMENT = Category(
    name="musical instrument",
    factors=(BODY, NECK, SOUND, TOP, BASE, EXTRA, PATTERN, COLOR),
    species={
        "guitar": _species(
            pattern=PLAIN,
            colors="orange red blue",
            body="waisted",
            neck="long",
            sound="strings",
            top="pegs",
            base="none",
            extra="strap",
        ),
        "violin": _species(
            pattern=PLAIN,
            colors="brown orange",
            body="waisted",
            neck="long",
            sound="strings",
            top="scroll",
            base="none",
            extra="bow",
        ),
        "banjo": _species(
            pattern=PLAIN,
            colors="brown orange white",
            body="round",
            neck="long",
            sound="skin",
            top="pegs",
            base="none",
            extra="none",
        ),
        "drum": _species(
            pattern=PLAIN,
            colors="red blue",
            body="barrel",
            neck="none",
            sound="skin",
            top="none",
            base="none",
            extra="sticks",
        ),
        "tambourine": _species(
            pattern=SPOTTED,
            colors="red green",
            body="round",
            neck="none",
            sound="skin",
            top="none",
            base="none",
            extra="jingles",
        ),
        "piano": _species(
            pattern=PLAIN,
            colors="black brown white",
            body="box",
            neck="none",
            sound="keys",
            top="none",
            base="legs",
            extra="none",
        ),
        "xylophone": _species(
            pattern=PLAIN,
            colors="brown white",
            body="box",
            neck="none",
            sound="bars",
            top="none",
            base="legs",
            extra="sticks",
        ),
        "accordion": _species(
            pattern=PLAIN,
            colors="red black blue",
            body="box",
            neck="none",
            sound="keys",
            top="none",
            base="bellows",
            extra="strap",
        ),
        "harp": _species(
            pattern=PLAIN,
            colors="yellow brown",
            body="harp",
            neck="none",
            sound="strings",
            top="none",
            base="none",
            extra="none",
        ),
        "recorder": _species(
            pattern=PLAIN,
            colors="brown yellow",
            body="tube",
            neck="none",
            sound="holes",
            top="mouthpiece",
            base="none",
            extra="none",
        ),
        "saxophone": _species(
            pattern=PLAIN,
            colors="yellow orange",
            body="tube",
            neck="bent",
            sound="holes",
            top="mouthpiece",
            base="horn",
            extra="none",
        ),
        "trumpet": _species(
            pattern=PLAIN,
            colors="yellow gray",
            body="tube",
            neck="none",
            sound="valves",
            top="bell",
            base="none",
            extra="none",
        ),
        "tuba": _species(
            pattern=PLAIN,
            colors="yellow orange",
            body="round",
            neck="bent",
            sound="valves",
            top="bell",
            base="none",
            extra="none",
        ),
    },
    draw=draw,
)

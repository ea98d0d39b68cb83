"""Furniture, seen from the front and a little from above.

A top stands on legs, with a base below it, a back behind it and arms beside it.
"""

from collections.abc import Iterator

from .. import shapes as s
from ..canvas import Canvas, Color
from ..factors import COLOR, Factor, Species
from ..plan import Category

FRAME = Factor(
    "frame", {"narrow": "a narrow frame", "wide": "a wide frame", "tall": "a tall frame"}
)
TOP = Factor(
    "top",
    {
        "board": "a flat top",
        "cushion": "a soft cushion",
        "pillow": "a bed pillow",
        "cloth": "a tablecloth",
    },
)
LEGS = Factor(
    "legs",
    {
        "straight": "straight legs",
        "pedestal": "a pedestal",
        "wheels": "wheels",
        "rockers": "rockers",
        "curly": "curly feet",
    },
)
BACK = Factor(
    "back",
    {
        "none": "no back",
        "slats": "a slatted back",
        "padded": "a padded back",
        "headboard": "a headboard",
        "mirror": "a mirror",
        "lamp": "a lamp",
    },
)
ARMS = Factor("arms", {"none": "no arms", "thin": "thin arms", "padded": "padded arms"})
BASE = Factor(
    "base",
    {
        "open": "an open base",
        "solid": "a solid base",
        "drawers": "drawers",
        "doors": "doors",
        "shelves": "shelves",
    },
)
PATTERN = Factor(
    "pattern", {"plain": "plain", "striped": "striped", "spotted": "spotted"}, structural=False
)

# Half the width, the y of the top's front edge, and the y up to which a back reaches.
SIZE = {"narrow": (0.42, -0.06, 0.84), "wide": (0.72, -0.02, 0.74), "tall": (0.42, 0.27, 0.90)}
# The y of the ground and of the lower edge of a base.
GROUND = -0.74
BOTTOM = -0.53
CREAM = (1.0, 0.95, 0.72)
GLASS = (0.78, 0.92, 0.98)
GOLD = (0.95, 0.75, 0.25)
TIRE = (0.30, 0.25, 0.24)


def _frames(c: Canvas) -> Iterator[tuple[Canvas, s.Points, float, float, float]]:
    """Yield the canvas, points, half width, front edge and top edge of each frame."""
    for frame, f in c.by("frame"):
        yield f, f.p, *SIZE[frame]


def _slab(
    p: s.Points, low: float, high: float, half: float, half_high: float | None = None
) -> s.Distance:
    """Compute the distance to a box or trapezoid around x = 0 with sharp corners.

    `low` and `high` are the y of its edges, `half` and `half_high` half its width there. This is
    faster than `shapes.polygon`.
    """
    lean = 0.0 if half_high is None else (half - half_high) / (high - low)
    side = (p[..., 0].abs() - half + lean * (p[..., 1] - low)) / (1 + lean * lean) ** 0.5
    return s.intersect(side, low - p[..., 1], p[..., 1] - high)


def _pair(p: s.Points, x: float, low: float, high: float, half: float) -> s.Distance:
    """Compute the distance to two upright bars at x and -x."""
    return s.intersect((p[..., 0].abs() - x).abs() - half, low - p[..., 1], p[..., 1] - high)


def _heart(p: s.Points, y: float, r: float) -> s.Distance:
    q = s.mirror(s.move(p, (0, y)))
    point = s.intersect(
        (q[..., 0] - 1.05 * r) * 0.74 + (0.02 * r - q[..., 1]) * 0.67, q[..., 1] - 0.4 * r
    )
    return s.union(s.circle(q, (0.5 * r, 0.3 * r), 0.6 * r), point)


def _fabric(c: Canvas, d: s.Distance, color: Color | None = None) -> None:
    """Paint a surface and its pattern."""
    c.keep("fabric", d)
    c.paint(d, color)
    for q in c.where("pattern", "striped", "spotted"):
        q.pattern(s.intersect(q.shape("fabric") + 0.035, q.shape("print")))


def _legs(c: Canvas) -> None:
    for legs, part in c.by("legs"):
        for f, p, w, y, _ in _frames(part):
            x = w - 0.09
            wood = f.shade(-0.22)
            match legs:
                case "straight":
                    f.paint(_pair(p, x - 0.2, GROUND + 0.1, high=y, half=0.06), f.shade(-0.45))
                    f.paint(_pair(p, x, GROUND, high=y, half=0.09), wood)
                case "pedestal":
                    foot = s.intersect(s.ellipse(p, (0, GROUND), (0.38, 0.18)), GROUND - p[..., 1])
                    f.paint(s.union(_slab(p, GROUND + 0.1, y, half=0.1), foot), wood)
                case "wheels":
                    f.paint(_pair(p, x, -0.6, high=y, half=0.08), wood)
                    wheel = s.circle(s.mirror(p), (x, GROUND + 0.15), 0.15)
                    f.paint(wheel, TIRE)
                    f.paint(wheel + 0.08, "white", outline=0.6)
                case "rockers":
                    end = min(x + 0.28, 0.82)
                    radius = end * end / 0.48 + 0.12  # the runners rise by 0.24 at their ends
                    runner = s.ring(s.circle(p, (0, GROUND + 0.07 + radius), radius), 0.07)
                    runner = s.intersect(runner, p[..., 0].abs() - end + 0.05, p[..., 1] + 0.2)
                    tip = s.circle(s.mirror(p), (end, GROUND + 0.31), 0.075)
                    f.paint(s.union(runner, tip, _pair(p, x, -0.62, high=y, half=0.08)), wood)
                case "curly":
                    q = s.mirror(p)
                    curl = s.union(
                        s.capsule(q, (x - 0.03, -0.66), (x + 0.12, -0.66), r=0.08),
                        s.circle(q, (x + 0.15, GROUND + 0.17), 0.095),
                    )
                    f.paint(s.union(_pair(p, x - 0.03, -0.66, high=y, half=0.08), curl), wood)


def _drawers(f: Canvas, p: s.Points, w: float, high: float) -> None:
    """Stack drawers. A wide frame has two stacks with room for knees between them."""
    narrow = w < 0.5
    x = 0.0 if narrow else w - 0.28
    half = w - 0.05 if narrow else 0.23
    count = round((high - BOTTOM) / 0.24)
    step = (high - BOTTOM) / count
    _fabric(f, _pair(p, x, BOTTOM, high=high, half=half))
    row = p[..., 1] - BOTTOM - step * ((p[..., 1] - BOTTOM) / step).floor().clamp(0, count - 1)
    side = (p[..., 0].abs() - x).abs()
    f.ink(s.intersect(side - half, row - 0.03, BOTTOM + 0.1 - p[..., 1]))
    f.paint(s.intersect(side - 0.11, (row - step / 2).abs() - 0.045), CREAM, outline=0.7)


def _doors(f: Canvas, p: s.Points, w: float, high: float) -> None:
    _fabric(f, _slab(p, BOTTOM, high, half=w - 0.05))
    f.ink(_slab(p, BOTTOM, high, half=0.025))
    f.paint(s.circle(s.mirror(p), (0.12, (BOTTOM + high) / 2), 0.07), CREAM, outline=0.7)


def _shelves(f: Canvas, p: s.Points, w: float, high: float) -> None:
    f.paint(_slab(p, BOTTOM, high, half=w - 0.05), f.shade(-0.6))
    count = round((high - BOTTOM) / 0.40)
    step = (high - BOTTOM) / count
    inside = _slab(p, BOTTOM, high - 0.03, half=w - 0.2)
    period = 0.45
    for k, book in enumerate(("red", "yellow", "blue")):
        row = p[..., 1] - BOTTOM - step * ((p[..., 1] - BOTTOM) / step).floor()
        place = p[..., 0] - (k - 1) * 0.15
        place = (place - period * (place / period).round()).abs() - 0.07
        f.paint(
            s.intersect(place, inside, row - step * (0.82, 0.62, 0.72)[k], 0.05 - row),
            book,
            outline=0.6,
        )
    boards = [
        _slab(p, BOTTOM + i * step - 0.02, BOTTOM + i * step + 0.07, half=w - 0.05)
        for i in range(count)
    ]
    f.paint(s.union(_pair(p, w - 0.11, BOTTOM, high=high, half=0.065), *boards))


def _base(c: Canvas) -> None:
    for base, b in c.by("base"):
        for f, p, w, y, _ in _frames(b):
            match base:
                case "solid":
                    _fabric(f, _slab(p, BOTTOM, y - 0.07, half=w - 0.05), f.shade(-0.15))
                case "drawers":
                    _drawers(f, p, w, high=y - 0.07)
                case "doors":
                    _doors(f, p, w, high=y - 0.07)
                case "shelves":
                    _shelves(f, p, w, high=y - 0.07)


def _board(c: Canvas) -> None:
    """Paint the board on which backs and lamps stand, with or without a cloth."""
    for top, t in c.by("top"):
        for f, p, w, y, _ in _frames(t):
            if top == "cloth":
                count = round((w + 0.05) / 0.19)
                period = (w + 0.05) / count
                x = p[..., 0].abs()
                x = x - period * ((x / period).floor().clamp(max=count - 1) + 0.5)
                f.paint((x.square() + (p[..., 1] - y + 0.12).square()).sqrt() - period / 2, "white")
                _fabric(f, _slab(p, y - 0.13, y + 0.15, half=w + 0.05, half_high=w - 0.07))
            elif top != "pillow":
                f.paint(_slab(p, y - 0.1, y, half=w))
                if top == "board":
                    _fabric(f, _slab(p, y, y + 0.16, half=w, half_high=w - 0.1), f.shade(0.25))


def _back(c: Canvas) -> None:
    for back, b in c.by("back"):
        for f, p, w, y, high in _frames(b):
            foot = y + 0.1
            x = w - 0.1
            middle = (foot + high) / 2
            half = (high - foot) / 2
            match back:
                case "slats":
                    bars = s.intersect(
                        s.stripes(p, 0.28, degrees=0, share=0.44),
                        _slab(p, foot, high - 0.1, half=x - 0.16),
                    )
                    f.paint(
                        s.union(bars, _pair(p, x - 0.01, foot, high=high - 0.1, half=0.075)),
                        f.shade(-0.2),
                    )
                    f.paint(s.box(p, (0, high - 0.085), (w, 0.085), rounding=0.06))
                case "padded":
                    pad = s.box(p, (0, middle), (w - 0.03, half), rounding=0.2)
                    _fabric(f, pad)
                    f.ink(s.ring(pad + 0.1, 0.02))
                case "headboard":
                    arch = s.union(
                        s.ellipse(p, (0, high - 0.24), (x, 0.24)),
                        _slab(p, foot, high - 0.24, half=x),
                    )
                    _fabric(f, arch)
                    f.paint(_pair(p, x, foot, high=high - 0.2, half=0.085), f.shade(-0.2))
                    f.paint(s.circle(s.mirror(p), (x, high - 0.17), 0.11), GOLD)
                    f.paint(_heart(p, high - 0.17, 0.14), CREAM, outline=0.7)
                case "mirror":
                    oval = s.ellipse(p, (0, middle + 0.02), (min(w - 0.03, 0.48), half))
                    f.paint(s.union(oval, _slab(p, foot - 0.02, foot + 0.1, half=0.16)))
                    f.paint(oval + 0.1, GLASS)
                    glint = s.stripes(s.move(p, (0, middle), -45), 0.16, degrees=0, share=0.3)
                    f.paint(
                        s.intersect(glint, oval + 0.17, p[..., 0].abs() - 0.16), "white", outline=0
                    )
                case "lamp":
                    f.paint(
                        s.union(
                            _slab(p, foot - 0.03, high - 0.2, half=0.065),
                            _slab(p, foot - 0.04, foot + 0.06, half=0.19, half_high=0.13),
                        ),
                        GOLD,
                    )
                    f.paint(_slab(p, high - 0.32, high, half=0.33, half_high=0.16), CREAM)


def _top(c: Canvas) -> None:
    """Paint the bedding on the board: one cushion or two, or a pillow, a sheet and a blanket."""
    for top, t in c.by("top"):
        for f, p, w, y, _ in _frames(t):
            narrow = w < 0.5
            q = p if narrow else s.mirror(p)
            x = 0.0 if narrow else w / 2
            half = w if narrow else w / 2
            if top == "cushion":
                _fabric(f, s.box(q, (x, y + 0.075), (half, 0.135), rounding=0.12), f.shade(0.25))
            elif top == "pillow":
                pillows = s.box(q, (x * 0.98, y + 0.18), (half - 0.07, 0.14), rounding=0.12)
                f.paint(
                    s.union(pillows, _slab(p, y, y + 0.16, half=w + 0.02, half_high=w - 0.03)),
                    "white",
                )
                _fabric(f, _slab(p, y - 0.18, y + 0.09, half=w + 0.06, half_high=w), f.shade(0.25))


def _arms(c: Canvas) -> None:
    for arms, a in c.by("arms"):
        for f, p, w, y, _ in _frames(a):
            if arms == "thin":
                rest = s.box(
                    s.mirror(p), (w - 0.04, y + 0.32), (0.15, 0.085), rounding=0.07, degrees=-8
                )
                f.paint(
                    s.union(_pair(p, w - 0.01, y - 0.1, high=y + 0.3, half=0.07), rest),
                    f.shade(-0.2),
                )
            elif arms == "padded":
                roll = s.circle(s.mirror(p), (w + 0.03, y + 0.24), 0.15)
                f.paint(s.union(roll, _pair(p, w + 0.03, y - 0.26, high=y + 0.22, half=0.115)))
                f.ink(s.ring(roll + 0.085, 0.02))


def draw(c: Canvas) -> None:
    """Paint furniture with any combination of the factors' values."""
    for pattern, q in c.by("pattern"):
        if pattern != "plain":
            q.keep(
                "print",
                s.stripes(q.p, 0.18, degrees=0, share=0.42)
                if pattern == "striped"
                else s.dots(q.p - 0.02, 0.17, 0.052),
            )
    _legs(c)
    _base(c)
    _board(c)
    _back(c)
    _top(c)
    _arms(c)


def _species(**words: str) -> Species:
    """Build a species' table from the values of each factor.

    Several values in one string are equally likely.
    """
    return {
        factor: {value: 1 / len(values.split()) for value in values.split()}
        for factor, values in words.items()
    }


FACTORS = (FRAME, TOP, LEGS, BACK, ARMS, BASE, PATTERN, COLOR)
FURNITURE = Category(
    name="furniture",
    factors=FACTORS,
    species={
        "chair": _species(
            frame="narrow",
            top="board",
            legs="straight",
            back="slats",
            arms="none",
            base="open",
            pattern="plain",
            color="brown yellow red",
        ),
        "stool": _species(
            frame="tall",
            top="cushion",
            legs="pedestal",
            back="none",
            arms="none",
            base="open",
            pattern="plain",
            color="red orange black",
        ),
        "table": _species(
            frame="wide",
            top="cloth",
            legs="straight pedestal",
            back="none",
            arms="none",
            base="open",
            pattern="spotted",
            color="red blue green",
        ),
        "bench": _species(
            frame="wide",
            top="board",
            legs="straight",
            back="slats",
            arms="thin",
            base="open",
            pattern="plain",
            color="brown green",
        ),
        "rocker": _species(
            frame="narrow",
            top="cushion",
            legs="rockers",
            back="slats",
            arms="thin",
            base="open",
            pattern="plain",
            color="brown white",
        ),
        "sofa": _species(
            frame="wide",
            top="cushion",
            legs="straight",
            back="padded",
            arms="padded",
            base="solid",
            pattern="plain striped",
            color="blue gray red",
        ),
        "armchair": _species(
            frame="narrow",
            top="cushion",
            legs="curly",
            back="padded",
            arms="padded",
            base="solid",
            pattern="spotted",
            color="purple green orange",
        ),
        "throne": _species(
            frame="narrow",
            top="cushion",
            legs="straight",
            back="headboard",
            arms="thin",
            base="solid",
            pattern="plain",
            color="red purple yellow",
        ),
        "bed": _species(
            frame="wide",
            top="pillow",
            legs="straight",
            back="headboard",
            arms="none",
            base="solid",
            pattern="striped",
            color="blue pink green",
        ),
        "crib": _species(
            frame="wide",
            top="pillow",
            legs="wheels",
            back="slats",
            arms="none",
            base="solid",
            pattern="spotted",
            color="white pink blue",
        ),
        "cradle": _species(
            frame="narrow",
            top="pillow",
            legs="rockers",
            back="headboard",
            arms="none",
            base="solid",
            pattern="plain",
            color="pink blue yellow",
        ),
        "desk": _species(
            frame="wide",
            top="board",
            legs="straight",
            back="lamp",
            arms="none",
            base="drawers",
            pattern="plain",
            color="brown gray",
        ),
        "nightstand": _species(
            frame="narrow",
            top="cloth",
            legs="straight",
            back="lamp",
            arms="none",
            base="drawers",
            pattern="plain",
            color="white brown pink",
        ),
        "vanity": _species(
            frame="wide",
            top="cloth",
            legs="curly",
            back="mirror",
            arms="none",
            base="drawers",
            pattern="plain",
            color="white pink purple",
        ),
        "dresser": _species(
            frame="tall",
            top="board",
            legs="curly",
            back="mirror",
            arms="none",
            base="drawers",
            pattern="plain",
            color="brown blue",
        ),
        "wardrobe": _species(
            frame="tall",
            top="board",
            legs="curly",
            back="none",
            arms="none",
            base="doors",
            pattern="plain",
            color="brown blue green",
        ),
        "sideboard": _species(
            frame="wide",
            top="board",
            legs="straight",
            back="none",
            arms="none",
            base="doors",
            pattern="plain",
            color="brown white",
        ),
        "bookcase": _species(
            frame="tall",
            top="board",
            legs="straight",
            back="none",
            arms="none",
            base="shelves",
            pattern="plain",
            color="brown white",
        ),
        "trolley": _species(
            frame="wide",
            top="board",
            legs="wheels",
            back="none",
            arms="thin",
            base="shelves",
            pattern="plain",
            color="gray red",
        ),
    },
    draw=draw,
)

"""Signed distances of simple shapes: negative inside, zero on the edge, positive outside.

Every function takes points `p` of shape (..., 2), x to the right and y up, and plain numbers, and
returns distances in the units of `p`. Near edges, distances are exact or lower in absolute value,
which suffices for antialiasing. The formulas follow Inigo Quilez's published list of
two-dimensional distance functions.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "*grid 2"]
Distance = Float[Tensor, "*grid"]
XY = tuple[float, float]


def move(p: Points, xy: XY, degrees: float = 0.0) -> Points:
    """Express points in a frame placed at `xy` and turned counter-clockwise by `degrees`."""
    p = p - p.new_tensor(xy)
    if degrees:
        c = math.cos(math.radians(degrees))
        s = math.sin(math.radians(degrees))
        p = p @ p.new_tensor([[c, -s], [s, c]])
    return p


def mirror(p: Points) -> Points:
    """Fold the left half onto the right one, so that a shape drawn at x > 0 shows on both sides."""
    return torch.stack([p[..., 0].abs(), p[..., 1]], -1)


def _offsets(p: Points, xy: XY) -> tuple[Distance, Distance]:
    """Compute how far points lie to the right of a place and above it."""
    return p[..., 0] - xy[0], p[..., 1] - xy[1]


def _length(x: Distance, y: Distance) -> Distance:
    return torch.addcmul(x * x, y, y).sqrt()  # several times faster than norm() on short vectors


def circle(p: Points, xy: XY, r: float) -> Distance:
    """Compute the distance to a disk around `xy`."""
    return _length(*_offsets(p, xy)) - r


def ellipse(p: Points, xy: XY, radii: XY, degrees: float = 0.0) -> Distance:
    """Approximate the distance to an ellipse to first order.

    It is exact on the edge, where antialiasing reads it.
    """
    x, y = move(p, xy, degrees).unbind(-1)
    a, b = radii
    k0 = _length(x / a, y / b)
    k1 = _length(x / a**2, y / b**2)
    return torch.where(k1 > 1e-6, k0 * (k0 - 1) / k1.clamp_min(1e-6), -min(radii))


def box(p: Points, xy: XY, half: XY, rounding: float = 0.0, degrees: float = 0.0) -> Distance:
    """Compute the distance to a box, given by its center and half sides (rounding included)."""
    x, y = move(p, xy, degrees).abs().unbind(-1)
    x = x - (half[0] - rounding)
    y = y - (half[1] - rounding)
    return _length(x.clamp_min(0), y.clamp_min(0)) + torch.maximum(x, y).clamp_max(0) - rounding


def capsule(p: Points, a: XY, b: XY, r: float, r_end: float | None = None) -> Distance:
    """Compute the distance to a thick line from a to b that tapers from radius `r` to `r_end`.

    If `r_end` is None, the line does not taper.
    """
    x, y = _offsets(p, a)
    ex = b[0] - a[0]
    ey = b[1] - a[1]
    t = ((x * ex + y * ey) / (ex**2 + ey**2)).clamp(0, 1)
    return _length(x - t * ex, y - t * ey) - (r if r_end is None else r + (r_end - r) * t)


def path(p: Points, points: list[XY], r: float, r_end: float | None = None) -> Distance:
    """Compute the distance to a thick open line through several points, tapering as `capsule`."""
    n = len(points) - 1
    radii = [r if r_end is None else r + (r_end - r) * i / n for i in range(n + 1)]
    return union(
        *(capsule(p, points[i], points[i + 1], r=radii[i], r_end=radii[i + 1]) for i in range(n))
    )


def polygon(p: Points, points: list[XY]) -> Distance:
    """Compute the distance to a filled polygon, convex or not, given by its corners in order."""
    d = torch.full_like(p[..., 0], float("inf"))
    inside = torch.zeros_like(d, dtype=torch.bool)
    for a, b in zip(points, points[-1:] + points[:-1], strict=True):
        x, y = _offsets(p, a)
        ex = b[0] - a[0]
        ey = b[1] - a[1]
        t = ((x * ex + y * ey) / (ex**2 + ey**2)).clamp(0, 1)
        d = torch.minimum(d, (x - t * ex).square() + (y - t * ey).square())
        # Test whether a ray to the right crosses this side. Neighboring sides compare with the same
        # number, so a ray through a corner counts once.
        crosses = (p[..., 1] >= a[1]) != (p[..., 1] >= b[1])
        inside ^= crosses & ((ex * y - ey * x > 0) == (ey > 0))
    return d.sqrt() * torch.where(inside, -1.0, 1.0)


def ring(d: Distance, width: float) -> Distance:
    """Cut out the band of the given half width along a shape's edge."""
    return d.abs() - width


def petals(
    p: Points, xy: XY, count: int, distance: float, radii: XY, turn: float = 90.0
) -> Distance:
    """Compute the distance to `count` ellipses around a center.

    The first lies in the direction `turn` (degrees). `radii` are along and across a petal, and
    `distance` is from the center to a petal's center.
    """
    q = p - p.new_tensor(xy)
    step = 2 * math.pi / count
    angle = torch.atan2(q[..., 1], q[..., 0]) - math.radians(turn)
    angle = angle - step * torch.round(angle / step)
    q = q.norm(dim=-1, keepdim=True) * torch.stack([angle.cos(), angle.sin()], -1)
    return ellipse(q, (distance, 0.0), radii)


def stripes(p: Points, period: float, degrees: float = 0.0, share: float = 0.5) -> Distance:
    """Compute the distance to endless parallel stripes across the x axis of the turned frame.

    A fraction `share` of the period is inside.
    """
    x = move(p, (0.0, 0.0), degrees)[..., 0]
    return (x - period * torch.round(x / period)).abs() - period * share / 2


def dots(p: Points, period: float, r: float) -> Distance:
    """Compute the distance to an endless hexagonal pattern of dots."""
    rows = torch.round(p[..., 1] / period)
    x = p[..., 0] - period * 0.5 * (rows % 2)
    return _length(x - period * torch.round(x / period), p[..., 1] - period * rows) - r


def union(*d: Distance) -> Distance:
    """Unite shapes."""
    result = d[0]
    for other in d[1:]:
        result = torch.minimum(result, other)
    return result


def intersect(*d: Distance) -> Distance:
    """Intersect shapes."""
    return -union(*(-x for x in d))


def subtract(d: Distance, hole: Distance) -> Distance:
    """Cut a hole into a shape."""
    return torch.maximum(d, -hole)


def blend(a: Distance, b: Distance, k: float) -> Distance:
    """Unite two shapes with a smooth seam of width about `k`."""
    h = (k - (a - b).abs()).clamp_min(0) / k
    return torch.minimum(a, b) - h * h * k / 4

"""Signed distances against brute force.

The references are independent inside tests, dense samples of edges, and the length of gradients.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from scipy.spatial import KDTree

from creativelib.world import shapes as s

place = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
radius = st.floats(0.05, 0.4)
angle = st.floats(-180, 180)
quick = settings(max_examples=25, deadline=None)


def screen(n=61):
    line = torch.linspace(-1, 1, n, dtype=torch.float64)
    x, y = torch.meshgrid(line, line, indexing="xy")
    return torch.stack([x, y], -1)


def far(p, edge):
    """Compute the distance of every point to the nearest of many points."""
    return torch.from_numpy(KDTree(edge.numpy()).query(p.numpy())[0])


def along(points, n=2000):
    """Sample a closed polygon's sides densely."""
    corners = torch.tensor(points, dtype=torch.float64)
    t = torch.linspace(0, 1, n // len(points), dtype=torch.float64)[:, None, None]
    return (corners + t * (corners.roll(-1, 0) - corners)).flatten(0, 1)


def circle_points(n=3000):
    t = torch.linspace(0, 2 * math.pi, n, dtype=torch.float64)
    return torch.stack([t.cos(), t.sin()], -1)


@quick
@given(place, radius)
def test_circle(xy, r):
    p = screen()
    d = s.circle(p, xy, r)
    assert torch.allclose(d.abs(), far(p, torch.tensor(xy) + r * circle_points()), atol=1e-3)
    assert torch.equal(d < 0, (p - torch.tensor(xy, dtype=torch.float64)).norm(dim=-1) < r)


@quick
@given(place, st.tuples(radius, radius), angle)
def test_ellipse_has_the_right_sign_and_is_exact_at_the_edge(xy, radii, degrees):
    c = math.cos(math.radians(degrees))
    v = math.sin(math.radians(degrees))
    turn = torch.tensor([[c, v], [-v, c]], dtype=torch.float64)
    edge = circle_points() * torch.tensor(radii) @ turn + torch.tensor(xy)
    p = screen()
    d = s.ellipse(p, xy, radii, degrees=degrees)
    inside = torch.tensor(Outline(edge.numpy()).contains_points(p.reshape(-1, 2).numpy())).reshape(
        d.shape
    )
    true = far(p, edge)
    sure = true > 2e-3
    assert torch.equal((d < 0)[sure], inside[sure])
    # Well within the smallest radius of curvature.
    near = true < 0.05 * min(radii) ** 2 / max(radii)
    assert torch.allclose(d.abs()[near], true[near], rtol=0.15, atol=2e-3)


@quick
@given(place, st.tuples(radius, radius), angle, st.floats(0, 1))
def test_box_with_round_corners(xy, half, degrees, share):
    rounding = share * min(half)
    p = screen()
    c = math.cos(math.radians(degrees))
    v = math.sin(math.radians(degrees))
    x = half[0] - rounding
    y = half[1] - rounding
    corners = torch.tensor([[x, y], [-x, y], [-x, -y], [x, -y]], dtype=torch.float64)
    corners = corners @ torch.tensor([[c, v], [-v, c]], dtype=torch.float64) + torch.tensor(xy)
    core = far(p, along(corners.tolist(), 4000))
    inner = torch.tensor(
        Outline(corners.numpy()).contains_points(p.reshape(-1, 2).numpy())
    ).reshape(core.shape)
    true = torch.where(inner, -core, core) - rounding
    assert torch.allclose(s.box(p, xy, half, rounding=rounding, degrees=degrees), true, atol=2e-3)


@quick
@given(place, place, radius)
def test_capsule(a, b, r):
    if math.dist(a, b) < 0.05:
        return
    p = screen()
    t = torch.linspace(0, 1, 2000, dtype=torch.float64)[:, None]
    line = torch.tensor(a) * (1 - t) + torch.tensor(b) * t
    assert torch.allclose(s.capsule(p, a, b, r=r), far(p, line) - r, atol=1e-3)


def test_capsule_tapers():
    p = torch.tensor([[-0.5, 0.2], [0.5, 0.1], [0.0, 0.15]], dtype=torch.float64)
    assert torch.allclose(
        s.capsule(p, (-0.5, 0), (0.5, 0), r=0.2, r_end=0.1),
        torch.zeros(3, dtype=torch.float64),
        atol=1e-9,
    )


@quick
@given(st.integers(0, 10_000), st.integers(3, 8))
def test_polygon(seed, corners):
    generator = torch.Generator().manual_seed(seed)
    turns = torch.rand(corners, generator=generator).sort().values * 2 * math.pi
    reach = 0.2 + 0.6 * torch.rand(corners, generator=generator)
    points = torch.stack([reach * turns.cos(), reach * turns.sin()], -1)
    p = screen()
    d = s.polygon(p, [(x, y) for x, y in points.tolist()])
    true = far(p, along(points.tolist(), 6000))
    inside = torch.tensor(
        Outline(points.numpy()).contains_points(p.reshape(-1, 2).numpy())
    ).reshape(d.shape)
    assert torch.allclose(d.abs(), true, atol=2e-3)
    assert torch.equal((d < 0)[true > 2e-3], inside[true > 2e-3])


def test_polygon_counts_a_ray_through_a_corner_once():
    heights = torch.tensor([0.1, 0.35, -0.4], dtype=torch.float32)
    p = torch.stack([torch.full_like(heights, -0.9), heights], -1)
    corners = [
        (0.0, heights[0].item()),
        (0.5, heights[1].item()),
        (0.3, heights[2].item()),
        (-0.2, -0.1),
    ]
    assert bool((s.polygon(p, corners) > 0).all())


@pytest.mark.parametrize(
    ("name", "shape"),
    {
        "ellipse": lambda p: s.ellipse(p, (0.1, 0.1), (0.5, 0.3), degrees=20),
        "tapered capsule": lambda p: s.capsule(p, (-0.4, -0.3), (0.4, 0.3), r=0.25, r_end=0.15),
        "path": lambda p: s.path(p, [(-0.5, -0.5), (0, 0.4), (0.5, -0.2)], 0.1, r_end=0.05),
        "ring": lambda p: s.ring(s.circle(p, (0, 0), 0.5), 0.1),
        "petals": lambda p: s.petals(p, (0, 0), 6, distance=0.5, radii=(0.3, 0.15)),
        "stripes": lambda p: s.stripes(p, 0.3, 25),
        "dots": lambda p: s.dots(p, 0.3, 0.08),
        "subtract": lambda p: s.subtract(s.circle(p, (0, 0), 0.6), s.circle(p, (0.4, 0), 0.3)),
    }.items(),
)
def test_gradients_have_length_one_near_edges(name, shape):
    p = screen(201).requires_grad_()
    d = shape(p)
    (slope,) = torch.autograd.grad(d.sum(), p)
    length = slope.norm(dim=-1)[d.abs() < 0.01]
    assert len(length) > 100
    assert length.median() == pytest.approx(1, abs=0.03)
    assert (length - 1).abs().quantile(0.9) < 0.05


@quick
@given(place, angle, place)
def test_move_places_and_turns_counter_clockwise(xy, degrees, at):
    c = math.cos(math.radians(degrees))
    v = math.sin(math.radians(degrees))
    moved = torch.tensor(
        [xy[0] + c * at[0] - v * at[1], xy[1] + v * at[0] + c * at[1]], dtype=torch.float64
    )
    assert torch.allclose(
        s.move(moved, xy, degrees), torch.tensor(at, dtype=torch.float64), atol=1e-9
    )


def test_mirror_draws_on_both_sides():
    p = screen()
    d = s.circle(s.mirror(p), (0.5, 0.1), 0.2)
    assert torch.equal(d, d.flip(1))
    assert torch.equal(
        d < 0, s.union(s.circle(p, (0.5, 0.1), 0.2), s.circle(p, (-0.5, 0.1), 0.2)) < 0
    )


@quick
@given(st.floats(0.2, 0.8), angle)
def test_stripes_cover_their_share(share, degrees):
    p = 100 * torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inside = (s.stripes(p, 0.3, degrees, share=share) < 0).double().mean()
    assert inside.item() == pytest.approx(share, abs=0.02)


def test_stripes_turn_and_repeat():
    p = screen()
    assert torch.equal(s.stripes(p, 0.4), s.stripes(p.flip(0), 0.4))  # upright without a turn
    assert torch.allclose(
        s.stripes(p + p.new_tensor([0.4, 0.7]), 0.4), s.stripes(p, 0.4), atol=1e-9
    )


def test_dots_cover_their_share():
    inside = (s.dots(screen(801) * 3, 0.3, 0.1) < 0).double().mean()
    assert inside.item() == pytest.approx(math.pi * 0.1**2 / 0.3**2, abs=0.01)


def test_sets_of_points():
    p = screen()
    a = s.circle(p, (0, 0), 0.5)
    b = s.box(p, (0.4, 0), (0.3, 0.3))
    c = s.circle(p, (-0.3, 0.3), 0.2)
    assert torch.equal(s.union(a, b, c) < 0, (a < 0) | (b < 0) | (c < 0))
    assert torch.equal(s.intersect(a, b) < 0, (a < 0) & (b < 0))
    assert torch.equal(s.subtract(a, b) < 0, (a < 0) & (b > 0))
    assert bool((s.blend(a, b, 0.2) <= s.union(a, b)).all())
    assert torch.equal(s.blend(a, b, 0.2)[(a - b).abs() > 0.2], s.union(a, b)[(a - b).abs() > 0.2])
    p.requires_grad_()
    (slope,) = torch.autograd.grad(
        s.blend(s.circle(p, (-0.2, 0.02), 0.3), s.circle(p, (0.3, 0), 0.3), 0.2).sum(), p
    )
    assert slope.norm(dim=-1).max() < 1 + 1e-9  # flatter in the seam, nowhere steeper

"""Pictures depend on facts, style and pose, and not on their batch."""

import pytest
import torch

from creativelib.world import CATEGORIES, category, styles, truth
from creativelib.world.canvas import Canvas
from creativelib.world.factors import COLORS
from creativelib.world.rendering import POSE, render, sample_pose, screen
from creativelib.world.scenes import sample_styles

EACH_CATEGORY = pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.name)
WATERCOLOR = torch.tensor([styles.index("watercolor painting")])  # paper behind, soft thin lines
PHOTO = torch.tensor([styles.index("photo")])


def random_batch(kind, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    factors, _ = truth(kind.name).sample(n, generator, wild=1.0)
    return factors, sample_styles(n, generator), sample_pose(n, generator)


def posed(**changes):
    """Return one pose in the middle of its ranges, with changes."""
    middle = {name: (low + high) / 2 for name, (low, high) in POSE.items()}
    return torch.tensor([list((middle | changes).values())])


def car(**changes):
    """Draw a plain red car. Also return its mask: the pixels that are not the ground."""
    kind = category("vehicle")
    table = {
        name: entry if isinstance(entry, str) else "plain"
        for name, entry in kind.species["car"].items()
    } | {"color": "red"}
    factors = torch.tensor([[list(f.values).index(table[f.name]) for f in kind.factors]])
    pose = posed(**changes)
    picture = render(kind, factors, style=WATERCOLOR, pose=pose)[0]
    ground = styles.ground(WATERCOLOR, pose[:, 6:9], screen(64)).picture[0]
    return picture, (picture - ground).abs().amax(0) > 0.08


def middle(mask):
    return screen(64)[mask].mean(0)


@EACH_CATEGORY
def test_pictures_are_finite_and_in_range(kind):
    pictures = render(kind, *random_batch(kind, 96, seed=1))
    assert pictures.shape == (96, 3, 64, 64)
    assert bool(pictures.isfinite().all())
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@EACH_CATEGORY
def test_the_same_input_gives_the_same_picture(kind):
    batch = random_batch(kind, 12)
    assert torch.equal(render(kind, *batch), render(kind, *batch))


@EACH_CATEGORY
def test_a_picture_does_not_depend_on_its_batch(kind):
    batch = random_batch(kind, 40)
    together = render(kind, *batch)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for rows in (order, *(torch.tensor([i]) for i in range(0, 40, 10))):
        factors, style, pose = (x[rows] for x in batch)
        alone = render(kind, factors, style=style, pose=pose)
        assert torch.allclose(alone, together[rows], atol=1e-4)


@EACH_CATEGORY
def test_other_sizes_show_the_same(kind):
    factors, _, pose = random_batch(kind, 6)
    photo = PHOTO.expand(6, -1)
    large = render(kind, factors, style=photo, pose=pose, size=128)
    small = render(kind, factors, style=photo, pose=pose)
    assert (torch.nn.functional.avg_pool2d(large, 2) - small).abs().mean() < 0.02


def test_pose_ranges():
    pose = sample_pose(5000, torch.Generator().manual_seed(0))
    low, high = torch.tensor(list(POSE.values())).T
    assert bool(((pose >= low) & (pose <= high)).all())
    assert torch.allclose(pose.mean(0), (low + high) / 2, atol=0.03 * (high - low).max().item())
    assert torch.equal(
        sample_pose(5, torch.Generator().manual_seed(3)),
        sample_pose(5, torch.Generator().manual_seed(3)),
    )


def test_x_and_y_move():
    here = middle(car()[1])
    assert torch.allclose(middle(car(x=0.1)[1]) - here, torch.tensor([0.1, 0.0]), atol=0.01)
    assert torch.allclose(middle(car(y=-0.08)[1]) - here, torch.tensor([0.0, -0.08]), atol=0.01)


def test_size_and_width_stretch():
    whole = car(size=1.0)[1]
    small = car(size=0.86)[1]
    wide = car(size=1.0, width=1.05)[1]
    assert (small.sum() / whole.sum()).item() == pytest.approx(0.86**2, abs=0.03)
    assert (wide.sum() / whole.sum()).item() == pytest.approx(1.05, abs=0.03)
    assert abs(int(wide.any(1).sum()) - int(whole.any(1).sum())) <= 1


def test_tilt_turns_counter_clockwise():
    def slope(mask):
        x, y = (screen(64)[mask] - middle(mask)).unbind(1)
        return torch.rad2deg(
            torch.atan2(2 * (x * y).mean(), (x * x).mean() - (y * y).mean()) / 2
        ).item()

    assert slope(car(tilt=7.0)[1]) - slope(car(tilt=-7.0)[1]) == pytest.approx(14, abs=2)


def test_shade_changes_brightness_only():
    dark, dark_mask = car(shade=0.92)
    light, light_mask = car(shade=1.08)
    assert (dark_mask ^ light_mask).float().mean() < 0.01
    assert dark[:, dark_mask].mean() < light[:, dark_mask].mean()
    either = (dark_mask | light_mask).float()[None]
    outside = torch.nn.functional.max_pool2d(either, 9, 1, 4)[0] == 0
    assert torch.allclose(dark[:, outside], light[:, outside], atol=1e-6)


@pytest.mark.parametrize(
    ("channel", "name"), [(0, "background_red"), (1, "background_green"), (2, "background_blue")]
)
def test_background_tints(channel, name):
    change = car(**{name: POSE[name][1]})[0][:, 0, 0] - car(**{name: POSE[name][0]})[0][:, 0, 0]
    assert change[channel] > 0.01
    assert change.abs().sum() == pytest.approx(change[channel].item(), abs=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@EACH_CATEGORY
def test_any_device_draws_the_same(kind):
    batch = random_batch(kind, 16)
    factors, style, pose = (x.cuda() for x in batch)
    pictures = render(kind, factors, style=style, pose=pose).cpu()
    assert torch.allclose(pictures, render(kind, *batch), atol=1e-3)


def canvas(n=3, size=32):
    kind = category("pet")
    factors = torch.zeros(n, len(kind.factors), dtype=torch.long)
    factors[:, 0] = torch.arange(n) % 2
    p = screen(size).expand(n, -1, -1, -1)
    return Canvas(
        factors=kind.factors,
        values=factors,
        p=p,
        pixel=torch.full((n,), 2 / size),
        line=torch.full((n,), 0.05),
        color=torch.full((n, 3), 0.5),
    )


def box(p):
    return (p - p.new_tensor([0.3, -0.2])).abs().amax(-1) - 0.25


def test_a_window_paints_what_the_whole_canvas_would():
    whole = canvas()
    cut = canvas()
    whole.keep("box", box(whole.p))
    cut.keep("box", box(cut.p))
    for c in (whole, cut.window((-0.05, 0.65), (-0.55, 0.15))):
        c.paint(box(c.p), "red")
        c.pattern(c.shape("box") + 0.1)
        c.ink(box(c.p) + 0.2)
    assert cut.window((-0.05, 0.65), (-0.55, 0.15)).p.shape[1] < 16
    assert torch.equal(whole.layers, cut.layers)


def test_paint_covers_what_is_below_and_gets_an_outline():
    c = canvas(1)
    c.ink(box(c.p) + 0.1)
    c.pattern(box(c.p))
    c.paint(box(c.p), "red")
    *paint, cover, ink, mark = c.layers[0]
    deep = box(c.p[0]) < -0.15
    edge = box(c.p[0]).abs() < 0.01
    outside = box(c.p[0]) > 0.15
    assert torch.allclose(torch.stack(paint)[:, deep], torch.tensor(COLORS["red"])[:, None])
    assert bool((cover[deep] == 1).all())
    assert bool((ink[deep] == 0).all())
    assert bool((mark[deep] == 0).all())
    assert bool((ink[edge] > 0.9).all())
    assert bool((c.layers[0, :, outside] == 0).all())


def test_rows_are_painted_by_their_values():
    c = canvas(4)
    for value, rows in c.by("body"):
        if value == "slim":
            rows.paint(box(rows.p))
    assert (c.layers[:, 3].amax((1, 2)) > 0).tolist() == [False, True, False, True]
    assert [rows.rows.tolist() for rows in c.where("body", "round", "long")] == [[0, 2]]
    assert list(c.where("body", "tall")) == []

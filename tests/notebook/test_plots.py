"""Grids of pictures: layout, sharpness, titles. Budgets: the frontier, and numbers apart."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from creativelib.errors import InputError
from creativelib.notebook.plots import budget_plot, data_flow, frontier, grid


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def shown(figure):
    """Return the figure as pixels."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255


def test_pictures_stand_row_by_row():
    pictures = torch.zeros(5, 3, 16, 16)
    pictures[3, 0] = 1
    figure = grid(pictures, columns=3, scale=2)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 5
    assert boxes[0].x0 < boxes[1].x0 < boxes[2].x0
    assert boxes[3].x0 == pytest.approx(boxes[0].x0)
    assert boxes[3].y1 < boxes[0].y0
    pixels = shown(figure)
    red = (pixels == [1, 0, 0]).all(-1)
    assert red.sum() == 32 * 32
    assert red[pixels.shape[0] // 2 :].all(1).sum() == 0
    assert red[pixels.shape[0] // 2 :].sum() == 32 * 32


def test_enlarging_is_smooth():
    """An edge between black and white goes through gray, and flat parts keep their color."""
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 8:] = 1
    row = shown(grid(picture, scale=4))[30, 8:-8, 0]
    assert ((row > 0.2) & (row < 0.8)).any()
    assert row[2] < 0.01
    assert row[-2] > 0.99


def test_one_pixel_of_the_enlarged_picture_is_one_of_the_figure():
    picture = (
        torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    ).round() / 255
    pixels = shown(grid(picture, scale=1))
    expected = picture[0].permute(1, 2, 0).numpy()
    fits = [
        np.abs(pixels[y : y + 16, x : x + 16] - expected).max() < 0.01
        for y in range(pixels.shape[0] - 15)
        for x in range(pixels.shape[1] - 15)
    ]
    assert any(fits)


def test_titles():
    figure = grid(torch.rand(3, 3, 16, 16), titles=["cat", "", "dog"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["cat", "", "dog"]
    with pytest.raises(ValueError, match="1 titles for 3 pictures"):
        grid(torch.rand(3, 3, 16, 16), titles=["cat"])


def test_data_flow_keeps_its_boxes_apart_and_inside():
    figure = data_flow()
    figure.canvas.draw()
    page = figure.bbox
    boxes = [
        text.get_bbox_patch().get_window_extent()
        for text in figure.axes[0].texts
        if text.get_bbox_patch()
    ]
    assert len(boxes) == 8
    assert all(
        page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        for box in boxes
    )
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def named(points):
    return {f"method {i}": point for i, point in enumerate(points)}


SHARE = st.integers(0, 5).map(lambda tenths: tenths / 5)
POINTS = st.lists(st.tuples(SHARE, SHARE), max_size=8).map(named)


@settings(max_examples=50)
@given(POINTS)
def test_on_the_frontier_is_what_no_other_beats(points):
    """By brute force: nothing else is as cheap and as good, and better in one of the two."""
    found = frontier(points)

    def beats(other, own):
        as_good = other[0] <= own[0] and other[1] >= own[1]
        return as_good and (other[0] < own[0] or other[1] > own[1])

    expected = {
        name for name in points if not any(beats(other, points[name]) for other in points.values())
    }
    assert set(found) == expected and len(found) == len(expected)
    assert [points[name][0] for name in found] == sorted(points[name][0] for name in found)
    assert [points[name][1] for name in found] == sorted(points[name][1] for name in found)


def crowded(count):
    """Methods of nearly the same seconds, some of them with the same share."""
    rng = np.random.default_rng(count)
    seconds = 0.2 * 1.03 ** rng.integers(0, 12, count)
    shares = np.round(rng.uniform(0, 0.7, count), 1)
    return named([(float(seconds[i]), float(shares[i])) for i in range(count)])


@pytest.mark.parametrize("count", [1, 13, 45])
def test_numbers_touch_neither_each_other_nor_the_frame(count):
    points = crowded(count)
    figure = budget_plot(points)
    figure.canvas.draw()
    (axes,) = figure.axes
    # Without the lines that lead to them.
    numbers = [Text.get_window_extent(text) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [str(i + 1) for i in range(count)]
    inside = axes.get_window_extent()
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in numbers)
    assert all(inside.y0 <= box.y0 and box.y1 <= inside.y1 for box in numbers)
    digits = [box.shrunk(0.9, 0.7) for box in numbers]
    assert not any(one.overlaps(other) for i, one in enumerate(digits) for other in digits[:i])


def test_every_method_is_named_and_the_frontier_is_bold():
    points = {"plain": (0.2, 0.1), "slow and poor, best of 125": (9.0, 0.05), "good": (1.0, 0.6)}
    figure = budget_plot(points)
    figure.canvas.draw()
    page = figure.bbox
    names = {text.get_text(): text for text in figure.texts}
    assert all(name in names for name in points)
    assert {name for name in points if names[name].get_fontweight() == "bold"} == {"plain", "good"}
    boxes = [text.get_window_extent() for text in figure.texts]
    assert all(box.x1 <= page.x1 and box.y0 >= page.y0 and box.y1 <= page.y1 for box in boxes)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(InputError, match="number of points is 0"):
        budget_plot({})
    with pytest.raises(InputError, match="cost of 'free' is 0"):
        budget_plot({"free": (0.0, 0.5)})

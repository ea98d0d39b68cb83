"""Grids of pictures: layout, sharpness, titles."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from creativelib.notebook.plots import data_flow, grid


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

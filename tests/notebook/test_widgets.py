import base64
import io
import re

import pytest
import torch
from PIL import Image

from creativelib.errors import InputError
from creativelib.notebook.widgets import FrameSlider


def slider(n: int = 3, **changes) -> FrameSlider:
    """n frames of 4 x 8 pixels, each of one gray, from black to white."""
    frames = torch.linspace(0, 1, n)[:, None, None, None].expand(n, 3, 4, 8)
    return FrameSlider(
        **(
            {
                "frames": frames,
                "labels": [f"{i} nats" for i in range(n)],
                "alt": "Gray turns white.",
            }
            | changes
        )
    )


def strip(made: FrameSlider) -> Image.Image:
    data = re.search(r"data:image/webp;base64,([^\"]+)", made._repr_html_()).group(1)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_frames_stand_side_by_side():
    picture = strip(slider(width=64))
    assert picture.size == (3 * 64, 32)
    grays = [picture.getpixel((64 * i + 32, 16))[0] for i in range(3)]
    assert grays == pytest.approx([0, 128, 255], abs=6)


def test_html_has_words_for_everything():
    page = slider(name="a < b", alt='A "pet".')._repr_html_()
    assert 'alt="A &quot;pet&quot;."' in page
    assert "a &lt; b" in page
    assert 'data-labels="0 nats|1 nats|2 nats"' in page
    assert 'aria-valuetext="0 nats"' in page
    assert 'max="2"' in page


def test_html_is_the_same_every_time():
    assert slider()._repr_html_() == slider()._repr_html_()


def test_nothing_is_loaded_from_elsewhere():
    assert "http" not in slider()._repr_html_()


def test_repr_is_short():
    assert repr(slider()) == "FrameSlider(3 frames, step from 0 nats to 2 nats)"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n": 1}, "frames holds 1"),
        ({"n": 64}, "expected 2 to 63"),
        ({"labels": ["a", "b"]}, "labels holds 2"),
        ({"labels": ["a", "b|c", "d"]}, "without '|'"),
        ({"alt": " "}, "alt is empty"),
    ],
)
def test_wrong_input_is_named(changes: dict, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        slider(**changes)

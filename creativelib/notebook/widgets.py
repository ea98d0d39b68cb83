"""Widgets for notebooks that also work in the rendered page, where no kernel runs."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..errors import InputError, listed, whole
from ..pictures import to_image

QUALITY = 80
WIDEST_WEBP = 16383

# Shows frame number `value` by sliding the strip behind the picture's window.
_MOVE = (
    "const figure = this.closest('figure'), label = this.dataset.labels.split('|')[this.value];"
    "figure.querySelector('img').style.objectPosition = 100 * this.value / this.max + '% 0';"
    "figure.querySelector('output').textContent = label;"
    "this.setAttribute('aria-valuetext', label)"
)


@dataclass(frozen=True, eq=False)
class FrameSlider:
    """Frames behind one slider.

    It is plain HTML around one strip of pictures, so it works live, saved, and in the book. Where
    styles are not allowed, as on GitHub, it looks like a film strip. Raises InputError for fewer
    than 2 frames, for a number of labels other than that of frames, for a label with a "|", for an
    empty alt, and for a strip too long for WebP.
    """

    # Pictures in [0, 1].
    frames: Float[Tensor, "n 3 h w"]
    # Names of the frames.
    labels: Sequence[str]
    # Description of the frames for readers who do not see them.
    alt: str
    # Name of the quantity that the slider changes.
    name: str = "step"
    # Pixels that each frame is resized to.
    width: int = 256

    def __post_init__(self) -> None:
        n = len(self.frames)
        whole("width", self.width, 1, WIDEST_WEBP)
        most = WIDEST_WEBP // self.width
        if not 2 <= n <= most:
            raise InputError(
                f"frames holds {n} pictures; expected 2 to {most} at a width of {self.width} pixels"
            )
        if len(listed("labels", self.labels)) != n:
            raise InputError(
                f"labels holds {len(self.labels)} texts for {n} frames; expected one for each frame"
            )
        if any("|" in label for label in self.labels):
            raise InputError(f"labels is {list(self.labels)}; expected texts without '|'")
        if not self.alt.strip():
            raise InputError("alt is empty; expected a description of the frames")

    def __repr__(self) -> str:
        return (
            f"FrameSlider({len(self.frames)} frames, {self.name} from {self.labels[0]} to "
            f"{self.labels[-1]})"
        )

    def _repr_html_(self) -> str:
        h, w = self.frames.shape[-2:]
        labels = html.escape("|".join(self.labels))
        name = html.escape(self.name)
        first = html.escape(self.labels[0])
        return (
            f'<figure class="frame-slider" style="margin:0;width:{self.width}px;max-width:100%">'
            f'<img src="{self._strip()}" alt="{html.escape(self.alt)}" '
            f'style="display:block;width:100%;aspect-ratio:{w}/{h};object-fit:cover;'
            'object-position:0 0">'
            '<div style="display:flex;gap:.6em;align-items:center">'
            f'<label style="display:contents">{name}'
            f'<input type="range" min="0" max="{len(self.frames) - 1}" value="0" step="1" '
            'style="flex:1;min-width:0" '
            f'data-labels="{labels}" aria-valuetext="{first}" oninput="{html.escape(_MOVE)}">'
            f"</label><output>{first}</output></div></figure>"
        )

    def _strip(self) -> str:
        """Encode all frames side by side as a data URI."""
        h, w = self.frames.shape[-2:]
        height = round(self.width * h / w)
        strip = Image.new("RGB", (self.width * len(self.frames), height))
        for index, frame in enumerate(self.frames):
            resized = to_image(frame).resize((self.width, height), Image.Resampling.LANCZOS)
            strip.paste(resized, (index * self.width, 0))
        data = io.BytesIO()
        strip.save(data, "webp", quality=QUALITY)
        return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()

"""Things to move in a notebook that still move in the rendered page, where no kernel runs."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..errors import InputError

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
    """Frames behind one slider: plain HTML around one strip of pictures, so it works live, saved, and in the book.

    `frames` are pictures in [0, 1], enlarged to `width` pixels if smaller; `labels` name each frame, `name` what the slider changes, and
    `alt` says in words what there is to see. Where styles are not allowed, as on GitHub, it shows as a film strip.
    Raises InputError for fewer than 2 frames, other than one label a frame, a label with a "|", an empty alt, or a strip too long for WebP.
    """

    frames: Float[Tensor, "n 3 h w"]
    labels: Sequence[str]
    alt: str
    name: str = "step"
    width: int = 256

    def __post_init__(self) -> None:
        n = len(self.frames)
        most = WIDEST_WEBP // self.width
        if not 2 <= n <= most:
            raise InputError(
                f"frames holds {n} pictures; expected 2 to {most} at a width of {self.width} pixels"
            )
        if len(self.labels) != n:
            raise InputError(
                f"labels holds {len(self.labels)} texts for {n} frames; expected one for each frame"
            )
        if any("|" in label for label in self.labels):
            raise InputError(f"labels is {list(self.labels)}; expected texts without '|'")
        if not self.alt.strip():
            raise InputError("alt is empty; it has to say in words what there is to see")

    def __repr__(self) -> str:
        return f"FrameSlider({len(self.frames)} frames, {self.name} from {self.labels[0]} to {self.labels[-1]})"

    def _repr_html_(self) -> str:
        h, w = self.frames.shape[-2:]
        labels, name, first = (
            html.escape("|".join(self.labels)),
            html.escape(self.name),
            html.escape(self.labels[0]),
        )
        return (
            f'<figure class="frame-slider" style="margin:0;width:{self.width}px;max-width:100%">'
            f'<img src="{self._strip()}" alt="{html.escape(self.alt)}" '
            f'style="display:block;width:100%;aspect-ratio:{w}/{h};object-fit:cover;object-position:0 0">'
            f'<div style="display:flex;gap:.6em;align-items:center"><label style="display:contents">{name}'
            f'<input type="range" min="0" max="{len(self.frames) - 1}" value="0" step="1" style="flex:1;min-width:0" '
            f'data-labels="{labels}" aria-valuetext="{first}" oninput="{html.escape(_MOVE)}"></label>'
            f"<output>{first}</output></div></figure>"
        )

    def _strip(self) -> str:
        """All frames side by side as a data URI."""
        h, w = self.frames.shape[-2:]
        size = (self.width, round(self.width * h / w))
        strip = Image.new("RGB", (size[0] * len(self.frames), size[1]))
        pixels = (
            (self.frames.detach().cpu().clamp(0, 1) * 255)
            .round()
            .byte()
            .permute(0, 2, 3, 1)
            .numpy()
        )
        for index, frame in enumerate(pixels):
            strip.paste(
                Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS), (index * size[0], 0)
            )
        data = io.BytesIO()
        strip.save(data, "webp", quality=QUALITY)
        return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()

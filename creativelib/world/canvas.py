"""A batch of pictures painted part by part, back to front, from signed distances."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .factors import COLORS, Factor
from .shapes import XY, Distance, Points

Color = str | tuple[float, float, float] | Float[Tensor, "m 3"]


class Canvas:
    """Some rows of a batch of pictures of one category, and the brushes to paint them.

    A category's `draw` asks `by` for the rows that share a factor's value and paints a part on
    these rows only. Later parts cover earlier ones, and each gets a dark outline. The canvas knows
    nothing about styles except the width of lines: it keeps paint (three channels), cover, ink and
    mark apart in `layers`, and `styles.compose` turns them into a picture.

    rows: (m,) the rows of the batch that this canvas paints.
    color: (m, 3) the main color of each picture, in [0, 1].
    p: (m, h, w, 2) points in the subject's frame, x right, y up; a picture spans about -1..1.
    layers: (n, 6, h, w) of all n pictures.
    """

    def __init__(
        self,
        factors: Sequence[Factor],
        values: Int[Tensor, "n f"],
        p: Float[Tensor, "n h w 2"],
        pixel: Float[Tensor, "n"],
        line: Float[Tensor, "n"],
        color: Float[Tensor, "n 3"],
    ):
        """Start with empty layers.

        `pixel` is the width over which edges blend and `line` is half the width of outlines, both
        in units of `p`.
        """
        n, h, w, _ = p.shape
        self.factors = {factor.name: factor for factor in factors}
        self._values = {factor.name: values[:, i] for i, factor in enumerate(factors)}
        self._p = p
        self._pixel = pixel[:, None, None]
        self._line = line[:, None, None]
        self._color = color
        self.rows = torch.arange(n, device=p.device)
        self.layers = p.new_zeros(n, 6, h, w)
        self._spots: dict[str, Tensor] = {}
        self._shapes: dict[str, Tensor] = {}

    def _sub(self, rows: Int[Tensor, "m"]) -> "Canvas":
        sub = copy.copy(self)
        sub.__dict__.pop("p", None)
        sub.rows = rows
        return sub

    def window(self, x: XY, y: XY) -> "Canvas":
        """Cut this canvas to the pixels that can show a rectangle of the subject's frame.

        `x` and `y` are (low, high) ranges. A brush is faster in a window. A shape first kept in a
        window is undefined outside of it.
        """
        first = self._p[self.rows, :2, :2]
        origin = first[:, 0, 0]
        step_right = first[:, 0, 1] - origin
        step_down = first[:, 1, 0] - origin
        corners = origin.new_tensor([[x[0], x[0], x[1], x[1]], [y[0], y[1], y[0], y[1]]])
        pixels = torch.linalg.solve(
            torch.stack([step_down, step_right], -1), corners - origin[..., None]
        )
        top, left = pixels.amin((0, 2)).sub(1).clamp_min(0).int().tolist()
        bottom, right = pixels.amax((0, 2)).add(3).clamp_min(1).int().tolist()
        part = self._sub(self.rows)
        part._p = self._p[:, top:bottom, left:right]
        part.layers = self.layers[..., top:bottom, left:right]
        part._shapes = {name: d[:, top:bottom, left:right] for name, d in self._shapes.items()}
        return part

    @cached_property
    def p(self) -> Points:
        """Points of this canvas's rows in the subject's frame."""
        return self._p[self.rows]

    @property
    def color(self) -> Float[Tensor, "m 3"]:
        """Main color of each of this canvas's rows."""
        return self._color[self.rows]

    def by(self, factor: str) -> Iterator[tuple[str, "Canvas"]]:
        """Yield each value of a factor that occurs here, with the canvas of its rows."""
        column = self._values[factor][self.rows]
        for i, value in enumerate(self.factors[factor].values):
            rows = self.rows[column == i]
            if len(rows):
                yield value, self._sub(rows)

    def where(self, factor: str, *values: str) -> Iterator["Canvas"]:
        """Yield the canvas of the rows whose factor has one of these values, if there are any.

        At most one canvas comes, so a `for` loop works as an `if`.
        """
        wanted = [list(self.factors[factor].values).index(v) for v in values]
        column = self._values[factor][self.rows]
        rows = self.rows[torch.isin(column, column.new_tensor(wanted))]
        if len(rows):
            yield self._sub(rows)

    def put(self, spot: str, factor: str, places: Mapping[str, tuple[float, float]]) -> None:
        """Name a place that depends on a factor.

        For example, where the head sits on each body:

            canvas.put("head", "body", {"round": (0.4, 0.3), "tall": (0.2, 0.5)})
        """
        for value, sub in self.by(factor):
            spots = self._spots.setdefault(spot, self._p.new_zeros(len(self._p), 2))
            spots[sub.rows] = self._p.new_tensor(places[value])

    def at(self, spot: str) -> Points:
        """Return the points relative to a named place."""
        return self.p - self._spots[spot][self.rows][:, None, None]

    def keep(self, name: str, d: Distance) -> Distance:
        """Remember a shape under a name, so that patterns can be cut to it, and return it."""
        outside = torch.full(self._p.shape[:3], 9.0, device=d.device, dtype=d.dtype)
        self._shapes.setdefault(name, outside)[self.rows] = d
        return d

    def shape(self, name: str) -> Distance:
        """Return the shape that `keep` stored under a name."""
        return self._shapes[name][self.rows]

    def shade(self, amount: float) -> Float[Tensor, "m 3"]:
        """Make the main color darker (amount < 0; -1 is black) or lighter (> 0; 1 is white)."""
        return self.color * (1 + amount) if amount < 0 else self.color + (1 - self.color) * amount

    def _rgb(self, color: Color) -> Float[Tensor, "m 3"]:
        if isinstance(color, str):
            color = COLORS[color]
        if isinstance(color, Tensor):
            return color
        return self._p.new_tensor(color).expand(len(self.rows), 3)

    def _alpha(self, d: Distance) -> Distance:
        """Compute the share of each pixel that is inside."""
        return (0.5 - d / self._pixel[self.rows]).clamp(0, 1)

    def _touched(self, alpha: Float[Tensor, "m h w"]) -> tuple[slice, slice]:
        """Find the smallest window of rows and columns with alpha > 0 in any picture.

        A brush has to change nothing outside of it.
        """
        covered = alpha.amax(0) > 0
        return tuple(
            slice(int(index[0]), int(index[-1]) + 1) if len(index) else slice(0)
            for index in (covered.any(1).nonzero(), covered.any(0).nonzero())
        )  # pyright: ignore[reportReturnType]

    def paint(self, d: Distance, color: Color | None = None, outline: float = 1.0) -> None:
        """Fill a shape with a color (default: the main color) and draw its outline.

        `outline` scales the width of the line; 0 draws none.
        """
        rgb = self.color if color is None else self._rgb(color)
        line = self._line[self.rows] * outline
        # Paint reaches under the outer half of the outline, so that colored ink finds its color.
        reach = self._alpha(d - line) if outline else self._alpha(d)
        y, x = self._touched(reach)
        d = d[:, y, x]
        reach = reach[:, y, x]
        layers = self.layers[..., y, x]
        inside = self._alpha(d) if outline else reach
        new = layers[self.rows]
        new[:, :3] += reach[:, None] * (rgb[:, :, None, None] - new[:, :3])
        new[:, 3] += reach * (1 - new[:, 3])
        new[:, 4:] *= 1 - inside[:, None]
        if outline:
            new[:, 4] += self._alpha(d.abs() - line) * (1 - new[:, 4])
        layers[self.rows] = new

    def pattern(self, d: Distance, color: Color | None = None) -> None:
        """Draw marks without outline on painted parts.

        By default, the marks are a darker main color, or a lighter one if that is dark.
        """
        rgb = self._pattern_color() if color is None else self._rgb(color)
        alpha = self._alpha(d)
        y, x = self._touched(alpha)
        layers = self.layers[..., y, x]
        new = layers[self.rows]
        alpha = alpha[:, y, x] * (1 - new[:, 4])
        new[:, :3] += alpha[:, None] * (rgb[:, :, None, None] - new[:, :3])
        new[:, 5] += alpha * (1 - new[:, 5])
        layers[self.rows] = new

    def _pattern_color(self) -> Float[Tensor, "m 3"]:
        """Choose dark marks for light colors and light marks for dark ones."""
        luminance = self.color @ self.color.new_tensor([0.3, 0.59, 0.11])
        return torch.where((luminance < 0.3)[:, None], self.shade(0.5), self.shade(-0.45))

    def ink(self, d: Distance) -> None:
        """Draw solid ink without fill: pupils, mouths, strings, seams."""
        alpha = self._alpha(d)
        y, x = self._touched(alpha)
        ink = self.layers[:, 4, y, x]
        old = ink[self.rows]
        ink[self.rows] = old + alpha[:, y, x] * (1 - old)

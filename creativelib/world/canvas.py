"""A batch of pictures painted part by part, back to front, from signed distances."""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .plan import COLORS, Category
from .shapes import Distance, Points

Color = str | tuple[float, float, float] | Float[Tensor, "m 3"]


class Canvas:
    """Some rows of a batch of pictures of one category, and the brushes to paint them.

    A category's `draw` asks `by` for the rows that share a factor's value and paints a part on them only. Parts are painted
    over each other; each gets a dark outline. Nothing here knows about styles except how wide lines are: `paint`, `cover`,
    `ink` and `mark` are kept apart, and `styles.compose` turns them into a picture.

    color: (m, 3) the main colour of each picture, in [0, 1].
    p: (m, h, w, 2) points in the subject's frame, x right, y up; the picture spans about -1..1.
    """

    def __init__(self, category: Category, factors: Int[Tensor, "n f"], p: Float[Tensor, "n h w 2"],
                 pixel: Float[Tensor, "n"], line: Float[Tensor, "n"], color: Float[Tensor, "n 3"]):
        n, h, w, _ = p.shape
        self.category, self._factors, self._p = category, factors, p
        self._pixel, self._line, self._color = pixel[:, None, None], line[:, None, None], color
        self.rows = torch.arange(n, device=p.device)
        self.layers = {"paint": p.new_zeros(n, 3, h, w), "cover": p.new_zeros(n, h, w), "ink": p.new_zeros(n, h, w),
                       "mark": p.new_zeros(n, h, w)}
        self._spots: dict[str, Tensor] = {}
        self._shapes: dict[str, Tensor] = {}

    def _sub(self, rows: Int[Tensor, "m"]) -> "Canvas":
        sub = object.__new__(Canvas)
        sub.__dict__.update(self.__dict__, rows=rows)
        return sub

    @property
    def p(self) -> Points:
        return self._p[self.rows]

    @property
    def color(self) -> Float[Tensor, "m 3"]:
        return self._color[self.rows]

    def by(self, factor: str) -> Iterator[tuple[str, "Canvas"]]:
        """Each value of a factor that occurs here, with the canvas of its rows."""
        names = [f.name for f in self.category.factors]
        column = self._factors[self.rows, names.index(factor)]
        for i, value in enumerate(self.category.factor(factor).values):
            rows = self.rows[column == i]
            if len(rows):
                yield value, self._sub(rows)

    def where(self, factor: str, *values: str) -> Iterator["Canvas"]:
        """The canvas of the rows whose factor has one of these values: one or none."""
        names = [f.name for f in self.category.factors]
        wanted = [list(self.category.factor(factor).values).index(v) for v in values]
        column = self._factors[self.rows, names.index(factor)]
        rows = self.rows[torch.isin(column, column.new_tensor(wanted))]
        if len(rows):
            yield self._sub(rows)

    def put(self, spot: str, factor: str, places: Mapping[str, tuple[float, float]]) -> None:
        """Name a place that depends on a factor: `put("head", "body", {"round": (0.4, 0.3), ...})`."""
        for value, sub in self.by(factor):
            self._spots.setdefault(spot, self._p.new_zeros(len(self._p), 2))[sub.rows] = self._p.new_tensor(places[value])

    def at(self, spot: str) -> Points:
        """Points seen from a named place."""
        return self.p - self._spots[spot][self.rows][:, None, None]

    def keep(self, name: str, d: Distance) -> Distance:
        """Remember a shape, so that patterns can be cut to it."""
        self._shapes.setdefault(name, torch.full(self._p.shape[:3], 9.0, device=d.device, dtype=d.dtype))[self.rows] = d
        return d

    def shape(self, name: str) -> Distance:
        return self._shapes[name][self.rows]

    def shade(self, amount: float) -> Float[Tensor, "m 3"]:
        """The main colour made darker (amount < 0) or lighter (amount > 0); 1 is white."""
        return self.color * (1 + amount) if amount < 0 else self.color + (1 - self.color) * amount

    def _rgb(self, color: Color) -> Tensor:
        if isinstance(color, str):
            color = COLORS[color]
        return color if isinstance(color, Tensor) else self._p.new_tensor(color).expand(len(self.rows), 3)

    def _blend(self, layer: str, alpha: Tensor, value: float) -> None:
        buffer = self.layers[layer]
        buffer[self.rows] = buffer[self.rows] * (1 - alpha) + value * alpha

    def _alpha(self, d: Distance) -> Tensor:
        return (0.5 - d / self._pixel[self.rows]).clamp(0, 1)

    def paint(self, d: Distance, color: Color | None = None, outline: float = 1.0) -> None:
        """Fill a shape (default: the main colour) and draw its outline; `outline` scales the line, 0 draws none."""
        rgb = self.color if color is None else self._rgb(color)
        line = self._line[self.rows] * outline
        inside = self._alpha(d)
        # Paint reaches under the outer half of the outline, so that coloured ink finds its colour there.
        reach = self._alpha(d - line) if outline else inside
        old = self.layers["paint"][self.rows]
        self.layers["paint"][self.rows] = old + reach[:, None] * (rgb[:, :, None, None] - old)
        self._blend("mark", inside, 0.0)
        self._blend("cover", reach, 1.0)
        self._blend("ink", inside, 0.0)
        if outline:
            self._blend("ink", self._alpha(d.abs() - line), 1.0)

    def pattern(self, d: Distance, color: Color | None = None) -> None:
        """Marks without outline on what is painted already (default: a darker main colour)."""
        rgb = self._pattern_color() if color is None else self._rgb(color)
        alpha = self._alpha(d) * (1 - self.layers["ink"][self.rows])
        old = self.layers["paint"][self.rows]
        self.layers["paint"][self.rows] = old + alpha[:, None] * (rgb[:, :, None, None] - old)
        self._blend("mark", alpha, 1.0)

    def _pattern_color(self) -> Tensor:
        """Dark marks on light colours, light marks on dark ones."""
        luminance = self.color @ self.color.new_tensor([0.3, 0.59, 0.11])
        return torch.where((luminance < 0.3)[:, None], self.shade(0.5), self.shade(-0.45))

    def ink(self, d: Distance) -> None:
        """Solid ink without fill: pupils, mouths, strings, seams."""
        self._blend("ink", self._alpha(d), 1.0)

"""Figures for notebooks."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import cos, pi, sin

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image
from torch import Tensor

from ..errors import InputError, above, listed, whole
from ..pictures import to_image

DPI = 100
# Space between pictures and for a title, in inches.
GAP = 0.06
TITLE = 0.20
# Colors of lines, of networks' boxes and of the way back.
DARK = "#44546a"
LIGHT = "#cfe2f7"
BACK = "#b3450b"
# Around a point its number stands at one of these distances, in points of 1/72 inch, and angles.
# The first is up and to the left, where no step of a frontier is.
DISTANCES = (9, 14, 20, 27, 35, 44, 54, 65, 77, 90)
ANGLES = tuple(0.75 * pi - i * pi / 8 for i in range(16))
# Half the width of a number's digit, half its height, and half the width of a marker, in points.
HALF_DIGIT = 3.0
HALF_LINE = 4.0
HALF_MARKER = 3.0

# Left, bottom, right, top.
Box = tuple[float, float, float, float]


def grid(
    pictures: Float[Tensor, "n 3 h w"],
    titles: Sequence[str] | None = None,
    columns: int = 8,
    scale: float = 2.0,
) -> Figure:
    """Show pictures in [0, 1], row by row.

    `titles` holds one title per picture, "" for none. Pictures are enlarged `scale` times with
    Lanczos' filter, so that small ones look crisp instead of blocky; each pixel of the result is
    one pixel of the figure. Raises InputError unless there are pictures, and one title for each.
    """
    whole("number of pictures", len(pictures), 1)
    whole("columns", columns, 1)
    above("scale", scale, 0)
    if titles is not None and len(listed("titles", titles)) != len(pictures):
        raise InputError(f"{len(titles)} titles for {len(pictures)} pictures; give one for each")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = (round(scale * side) for side in (pictures.shape[3], pictures.shape[2]))
    step_x = width / DPI + GAP
    step_y = height / DPI + GAP + (TITLE if titles and any(titles) else 0)
    figure = plt.figure(figsize=(columns * step_x + GAP, rows * step_y + GAP), dpi=DPI)
    total_x, total_y = figure.get_size_inches()
    share_x = width / DPI / total_x
    share_y = height / DPI / total_y
    for i, picture in enumerate(pictures):
        left = GAP + i % columns * step_x
        bottom = total_y - (i // columns + 1) * step_y
        axes = figure.add_axes((left / total_x, bottom / total_y, share_x, share_y))
        enlarged = to_image(picture).resize((width, height), Image.Resampling.LANCZOS)
        axes.imshow(enlarged, interpolation="nearest")
        axes.set_axis_off()
        if titles:
            axes.set_title(titles[i], fontsize=9, pad=3, loc="left")
    return figure


def family_tree(
    pictures: Float[Tensor, "n 3 h w"], parents: Sequence[Sequence[int]], scale: float = 1.5
) -> Figure:
    """Show the members of a family, parents above their children.

    `parents` holds one list of indices per picture, an empty one for a founder. Each generation is
    a row, and a child stands below the middle of its parents. Raises InputError unless there is one
    list for each picture.
    """
    above("scale", scale, 0)
    if len(parents) != len(pictures):
        raise InputError(
            f"{len(parents)} lists of parents for {len(pictures)} pictures; give one for each"
        )
    places: list[tuple[float, float]] = []
    founders = 0
    for own in parents:
        if own:
            x = sum(places[i][0] for i in own) / len(own)
            y = max(places[i][1] for i in own) + 1
            places.append((x, y))
        else:
            places.append((float(founders), 0.0))
            founders += 1
    side = scale * pictures.shape[-1] / DPI
    depth = max(y for _, y in places) + 1
    figure, axes = plt.subplots(figsize=(founders * 1.3 * side, depth * 1.5 * side), dpi=DPI)
    figure.subplots_adjust(0, 0, 1, 1)
    axes.set_axis_off()
    pixels = round(side * DPI)
    for picture, own, (x, y) in zip(pictures, parents, places, strict=True):
        top = 1.5 * y - 0.5
        bottom = 1.5 * y + 0.5
        for i in own:
            parent_x, parent_y = places[i]
            axes.plot((parent_x, x), (1.5 * parent_y + 0.5, top), color=DARK, linewidth=1.5)
        enlarged = to_image(picture).resize((pixels, pixels), Image.Resampling.LANCZOS)
        axes.imshow(enlarged, extent=(x - 0.5, x + 0.5, bottom, top), aspect="auto", zorder=2)
    axes.set(xlim=(-0.65, founders - 0.35), ylim=(1.5 * depth - 0.75, -0.75))
    return figure


def data_flow() -> Figure:
    """Draw how a prompt becomes a picture and how a concept is steered.

    Data is in white boxes, networks are in blue ones.
    """
    boxes = {
        "prompt": (0, 1, '"a photo of a pet"'),
        "text": (1, 1, "text encoder"),
        "prior": (2, 1, "prior"),
        "decoder": (2, 0, "decoder"),
        "picture": (1, 0, "picture"),
        "z": (3, 0.5, "image\nembedding z"),
        "concept": (1, 2, "concept:\na vector for a word"),
        "objective": (3, 2, "objective:\nrare, yet a pet"),
    }
    networks = {"text", "prior", "decoder"}
    figure, axes = plt.subplots(figsize=(7, 3.2), dpi=DPI, layout="constrained")
    axes.set(xlim=(-0.5, 3.5), ylim=(-0.4, 2.45))
    axes.set_axis_off()
    drawn = {
        name: axes.text(
            x,
            y,
            label,
            ha="center",
            va="center",
            fontsize=10,
            color="black",
            bbox={
                "boxstyle": "round,pad=0.5",
                "facecolor": LIGHT if name in networks else "white",
                "edgecolor": DARK,
            },
        )
        for name, (x, y, label) in boxes.items()
    }
    arrows = [
        ("prompt", "text"),
        ("text", "prior"),
        ("prior", "z"),
        ("z", "decoder"),
        ("decoder", "picture"),
        ("concept", "text"),
        ("z", "objective"),
        ("objective", "concept"),
    ]
    for start, end in arrows:
        back = start == "objective"
        axes.annotate(
            "",
            boxes[end][:2],
            boxes[start][:2],
            arrowprops={
                "arrowstyle": "-|>",
                "color": BACK if back else DARK,
                "linestyle": "--" if back else "-",
                "patchA": drawn[start].get_bbox_patch(),
                "patchB": drawn[end].get_bbox_patch(),
                "shrinkA": 2,
                "shrinkB": 2,
            },
        )
    axes.text(2, 2.08, "gradient", ha="center", va="bottom", fontsize=10, color=BACK)
    return figure


def frontier(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """List the points (cost, gain) that no other beats, the cheapest first.

    A point beats another that costs as much or more and gains as much or less, unless they are
    equal.

    >>> frontier({"plain": (1.0, 0.2), "slow": (3.0, 0.2), "good": (3.0, 0.6)})
    ['plain', 'good']
    """

    def beaten(own: tuple[float, float]) -> bool:
        return any(
            cost <= own[0] and gain >= own[1] and (cost, gain) != own
            for cost, gain in points.values()
        )

    return sorted((name for name in points if not beaten(points[name])), key=lambda n: points[n])


def budget_plot(
    points: Mapping[str, tuple[float, float]],
    cost: str = "seconds a picture",
    gain: str = "valid and novel",
) -> Figure:
    """Plot what methods gain, a share, against what they cost, on a logarithmic axis.

    Points are numbered in the order given, and a list beside the axes names them. Those on the
    frontier are filled and joined by steps, and their names are bold. Raises InputError for no
    points and for a cost that is not above 0.
    """
    whole("number of points", len(points), 1)
    for name, (own, _) in points.items():
        above(f"cost of {name!r}", own, 0)
    best = frontier(points)
    count = len(points)
    height = max(4.5, 0.15 * count + 0.6)
    figure = plt.figure(figsize=(9, height), dpi=DPI)
    axes = figure.add_axes((0.08, 0.55 / height, 0.6, 1 - 0.7 / height))
    costs = [x for x, _ in points.values()]
    gains = [y for _, y in points.values()]
    axes.set(
        xscale="log",
        xlim=(min(costs) / 1.5, max(costs) * 1.5),
        ylim=(-0.06, max(*gains, 0.2) + 0.08),
        xlabel=cost,
        ylabel=gain,
    )
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.xaxis.set_major_formatter(lambda amount, _: f"{amount:g}")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    ends = [*(points[name] for name in best), (max(costs) * 1.5, points[best[-1]][1])]
    axes.plot(*zip(*ends, strict=True), color=BACK, linewidth=1, drawstyle="steps-post", zorder=1)
    offsets = place_numbers(*_in_points(axes, list(points.values())))
    for i, (name, point) in enumerate(points.items()):
        on = name in best
        color = BACK if on else DARK
        axes.plot(*point, marker="o", markersize=5, color=color, mfc=color if on else "white")
        far = abs(offsets[i][0]) + abs(offsets[i][1]) > 16
        axes.annotate(
            str(i + 1),
            point,
            offsets[i],
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            fontsize=8,
            color=color,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.2},
            arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.6} if far else None,
        )
        line = 1 - (0.25 + 0.15 * i) / height
        style = {"va": "center", "fontsize": 8, "color": color}
        style["fontweight"] = "bold" if on else "normal"
        figure.text(0.72, line, str(i + 1), ha="right", **style)
        figure.text(0.73, line, name, **style)
    return figure


def _in_points(
    axes: Axes, points: Sequence[tuple[float, float]]
) -> tuple[list[tuple[float, float]], Box]:
    """Return where points and the frame are on the page, in points of 1/72 inch."""
    scale = 72 / axes.figure.dpi
    window = axes.get_window_extent()
    places = [(x * scale, y * scale) for x, y in axes.transData.transform(points).tolist()]
    left, bottom, right, top = (scale * float(end) for end in window.extents)
    return places, (left, bottom, right, top)


def place_numbers(places: Sequence[tuple[float, float]], inside: Box) -> list[tuple[float, float]]:
    """Return where the number of each place stands relative to it, all in points.

    A number stands as near as it can without touching another, a marker or the frame.
    """
    taken = [_box(x, y, HALF_MARKER, HALF_MARKER) for x, y in places]
    offsets = []
    for i, (x, y) in enumerate(places):
        half = HALF_DIGIT * len(str(i + 1))
        choices = [(r * cos(angle), r * sin(angle)) for r, angle in product(DISTANCES, ANGLES)]
        free = (
            (dx, dy)
            for dx, dy in choices
            if _fits(_box(x + dx, y + dy, half, HALF_LINE), taken, inside)
        )
        dx, dy = next(free, choices[0])
        taken.append(_box(x + dx, y + dy, half, HALF_LINE))
        offsets.append((dx, dy))
    return offsets


def _box(x: float, y: float, half_width: float, half_height: float) -> Box:
    return (x - half_width, y - half_height, x + half_width, y + half_height)


def _fits(box: Box, taken: Sequence[Box], inside: Box) -> bool:
    left, bottom, right, top = box
    if left < inside[0] or bottom < inside[1] or right > inside[2] or top > inside[3]:
        return False
    return all(right <= a or left >= c or top <= b or bottom >= d for a, b, c, d in taken)

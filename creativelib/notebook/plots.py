"""Figures for notebooks."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..pictures import to_image

DPI = 100
GAP = 0.06
TITLE = 0.20  # inches between pictures, and for a title


def grid(
    pictures: Float[Tensor, "n 3 h w"],
    titles: Sequence[str] | None = None,
    columns: int = 8,
    scale: float = 2.0,
) -> Figure:
    """Pictures in [0, 1], row by row, each under its title (one for each picture; "" for none). Raises ValueError if some titles lack.

    Small pictures are enlarged `scale` times with Lanczos' filter, so that they look crisp instead of blocky, and each of
    their pixels then is one of the figure's.
    """
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} pictures; give one for each")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = (round(scale * side) for side in (pictures.shape[3], pictures.shape[2]))
    step_x = width / DPI + GAP
    step_y = height / DPI + GAP + (TITLE if titles and any(titles) else 0)
    figure = plt.figure(figsize=(columns * step_x + GAP, rows * step_y + GAP), dpi=DPI)
    total_x, total_y = figure.get_size_inches()
    for i, picture in enumerate(pictures):
        left = GAP + i % columns * step_x
        low = total_y - (i // columns + 1) * step_y
        axes = figure.add_axes(
            (left / total_x, low / total_y, width / DPI / total_x, height / DPI / total_y)
        )
        axes.imshow(
            to_image(picture).resize((width, height), Image.Resampling.LANCZOS),
            interpolation="nearest",
        )
        axes.set_axis_off()
        if titles:
            axes.set_title(titles[i], fontsize=9, pad=3, loc="left")
    return figure


def family_tree(
    pictures: Float[Tensor, "n 3 h w"], parents: Sequence[Sequence[int]], scale: float = 1.5
) -> Figure:
    """One picture for each member of a family, parents above their children. `parents` are the members' own, none for founders.

    A generation is a row, and a child stands in the middle below its parents. Raises ValueError for other than one list for each picture.
    """
    if len(parents) != len(pictures):
        raise ValueError(
            f"{len(parents)} lists of parents for {len(pictures)} pictures; give one for each"
        )
    place: list[tuple[float, float]] = []
    founders = 0
    for own in parents:
        if own:
            place.append(
                (sum(place[i][0] for i in own) / len(own), max(place[i][1] for i in own) + 1)
            )
        else:
            place.append((float(founders), 0.0))
            founders += 1
    side = scale * pictures.shape[-1] / DPI
    depth = max(y for _, y in place) + 1
    figure, axes = plt.subplots(figsize=(founders * 1.3 * side, depth * 1.5 * side), dpi=DPI)
    figure.subplots_adjust(0, 0, 1, 1)
    axes.set_axis_off()
    for picture, own, (x, y) in zip(pictures, parents, place, strict=True):
        for i in own:
            axes.plot(
                (place[i][0], x),
                (1.5 * place[i][1] + 0.5, 1.5 * y - 0.5),
                color="#44546a",
                linewidth=1.5,
            )
        enlarged = to_image(picture).resize(
            (round(side * DPI), round(side * DPI)), Image.Resampling.LANCZOS
        )
        axes.imshow(
            enlarged,
            extent=(x - 0.5, x + 0.5, 1.5 * y + 0.5, 1.5 * y - 0.5),
            aspect="auto",
            zorder=2,
        )
    axes.set(xlim=(-0.65, founders - 0.35), ylim=(1.5 * depth - 0.75, -0.75))
    return figure


def data_flow() -> Figure:
    """How a prompt becomes a picture, and how a concept is steered: data in white boxes, networks in blue ones."""
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
                "facecolor": "#cfe2f7" if name in networks else "white",
                "edgecolor": "#44546a",
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
                "color": "#b3450b" if back else "#44546a",
                "linestyle": "--" if back else "-",
                "patchA": drawn[start].get_bbox_patch(),
                "patchB": drawn[end].get_bbox_patch(),
                "shrinkA": 2,
                "shrinkB": 2,
            },
        )
    axes.text(2, 2.08, "gradient", ha="center", va="bottom", fontsize=10, color="#b3450b")
    return figure

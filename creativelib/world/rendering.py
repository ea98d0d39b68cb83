"""From factors, style and pose to pictures."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import styles
from .canvas import Canvas
from .factors import COLORS
from .plan import Category

# Nuisance variables, uniform in these ranges: the subject's place, size, tilt (degrees), width and
# brightness, and the tint of the background.
POSE: dict[str, tuple[float, float]] = {
    "x": (-0.10, 0.10),
    "y": (-0.08, 0.08),
    "size": (0.86, 1.0),
    "tilt": (-7.0, 7.0),
    "width": (0.95, 1.05),
    "shade": (0.92, 1.08),
    "background_red": (0.62, 0.98),
    "background_green": (0.62, 0.98),
    "background_blue": (0.62, 0.98),
}


def sample_pose(
    n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Float[Tensor, "n 9"]:
    """Draw n random poses. The columns are those of `POSE`."""
    low, high = torch.tensor(list(POSE.values()), device=device).T
    return low + (high - low) * torch.rand(n, len(POSE), generator=generator, device=device)


def screen(size: int, device: torch.device | str = "cpu") -> Float[Tensor, "h w 2"]:
    """Compute the centers of the pixels in -1..1, x right, y up."""
    line = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    return torch.stack([x, y], -1)


def render(
    category: Category,
    factors: Int[Tensor, "n f"],
    style: Int[Tensor, "n 5"],
    pose: Float[Tensor, "n 9"],
    size: int = 64,
) -> Float[Tensor, "n 3 h w"]:
    """Draw pictures of one category.

    factors: (n, f) value indices in the order of `category.factors`. style: (n, 5) indices into
    `styles.FACTORS`. pose: (n, 9), see `POSE`. Returns pictures in [0, 1] with `size` pixels a
    side.
    """
    device = pose.device
    x, y, scale, tilt, width, shade = pose[:, :6].unbind(1)
    points = screen(size, device)
    p = points - torch.stack([x, y], 1)[:, None, None]
    c = torch.deg2rad(tilt).cos()
    s = torch.deg2rad(tilt).sin()
    turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    stretch = scale[:, None] * torch.stack([width, torch.ones_like(width)], 1)
    p = torch.einsum("nhwi,nij->nhwj", p, turn) / stretch[:, None, None]
    line = torch.tensor(list(styles.LINE.values()), device=device)[style[:, 3]]
    softness = torch.tensor(list(styles.SOFTNESS.values()), device=device)[style[:, 4]]
    color_column = [f.name for f in category.factors].index("color")
    # Where a style hides the color, draw everything in gray, so that no trace of the color is left.
    factors = factors.clone()
    factors[~styles.color_visible(style), color_column] = list(COLORS).index("gray")
    color = torch.tensor(list(COLORS.values()), device=device)[factors[:, color_column]]
    color = (color * shade[:, None]).clamp(0, 1)
    canvas = Canvas(
        factors=category.factors,
        values=factors,
        p=p,
        pixel=2 / size / scale * softness,
        line=line,
        color=color,
    )
    category.draw(canvas)
    return styles.compose(canvas.layers, style, styles.ground(style, pose[:, 6:9], points))

"""Helpers of all trainings: scenes on a device, and the factors that a picture shows."""

from dataclasses import asdict

import torch
from torch import Tensor

from ..world import CATEGORIES
from ..world.scenes import Scenes
from ..world.styles import color_visible

# Share of wild pictures. The models must learn to read and draw combinations that no species has.
WILD = 0.30


def placed(scenes: Scenes, device: torch.device | str) -> Scenes:
    """Move scenes to a device."""
    return Scenes(**{name: value.to(device) for name, value in asdict(scenes).items()})


def visible_factors(scenes: Scenes) -> Tensor:
    """Return the scenes' factors, with -1 where a style hides one."""
    target = scenes.factors.clone()
    hidden = ~color_visible(scenes.style)
    # Every category's last factor is the color.
    color = torch.tensor([len(c.factors) - 1 for c in CATEGORIES], device=target.device)
    target[hidden, color[scenes.category][hidden]] = -1
    return target

"""What the trainings share: where they keep things, how exactly they compute, what can be seen."""

from dataclasses import asdict

import torch
from torch import Tensor

from ..world import CATEGORIES
from ..world.scenes import Scenes
from ..world.styles import color_visible

WILD = 0.30  # share of wild pictures: what is to be seen and drawn must have been seen


def placed(scenes: Scenes, device: torch.device | str) -> Scenes:
    """Scenes on a device."""
    return Scenes(**{name: value.to(device) for name, value in asdict(scenes).items()})


def visible_factors(scenes: Scenes) -> Tensor:
    """Factors with -1 where a style hides them."""
    target = scenes.factors.clone()
    hidden = ~color_visible(scenes.style)
    # The color is every category's last factor.
    lasts = torch.tensor([len(c.factors) - 1 for c in CATEGORIES], device=target.device)
    target[hidden, lasts[scenes.category][hidden]] = -1
    return target

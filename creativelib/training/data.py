"""What the trainings share: where they keep things, how exactly they compute, what can be seen."""

import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ..world import CATEGORIES
from ..world.scenes import Scenes
from ..world.styles import color_visible

WILD = 0.30  # share of wild pictures: what is to be seen and drawn must have been seen


def cache_folder() -> Path:
    """Where training keeps data and checkpoints: $CREATIVELIB_CACHE or ~/.cache/creativelib."""
    return Path(os.environ.get("CREATIVELIB_CACHE", Path.home() / ".cache" / "creativelib"))


def fast_precision(device: str = "cpu") -> torch.autocast:
    """bfloat16 on GPUs, and on processors that multiply in it; on others, where it is ten times slower than float32, float32."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported())


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

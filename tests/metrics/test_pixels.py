"""PSNR in closed form."""

import math

import pytest
import torch

from creativelib.metrics.pixels import psnr


def test_an_error_of_a_tenth_is_20_decibels():
    black = torch.zeros(2, 3, 4, 4)
    assert psnr(
        black, black + torch.tensor([0.1, 1.0])[:, None, None, None]
    ).tolist() == pytest.approx([20, 0], abs=1e-5)
    assert psnr(black[0], black[0]).item() == math.inf


def test_a_larger_error_is_a_smaller_ratio_and_pictures_broadcast():
    x = torch.rand(3, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    found = [psnr(x, (x + scale * noise).clamp(0, 1)).mean().item() for scale in (0.01, 0.1, 0.5)]
    assert found == sorted(found, reverse=True)
    assert psnr(x, x[:, :1]).shape == (3, 2)

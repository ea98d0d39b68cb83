"""Muon takes the same steps as torch's own, up to the latter's bfloat16."""

import torch
from torch import nn

from creativelib.fitting.muon import Muon, orthogonal


def test_orthogonal_keeps_directions_and_brings_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((12, 30), (30, 12)):
        u, s, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
        found = orthogonal(u @ torch.diag(s) @ v)
        cosine = (found * (u @ v)).sum() / found.norm() / (u @ v).norm()
        assert cosine > 0.97
        assert (torch.linalg.svdvals(found) - 1).abs().max() < 0.35


def test_steps_equal_those_of_torch():
    torch.manual_seed(0)
    start = torch.randn(8, 20)
    ours = nn.Parameter(start.clone())
    theirs = nn.Parameter(start.clone())
    a = Muon([ours], lr=0.02, weight_decay=0.1)
    b = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        gradient = torch.randn(8, 20)
        ours.grad = gradient.clone()
        theirs.grad = gradient.clone()
        a.step()
        b.step()
    assert (ours - theirs).norm() < 0.03 * (theirs - start).norm()

"""Crops, and the student's output."""

import torch
from torch.nn.functional import one_hot

from creativelib.training.dino import WARM, Student, crops, cross_entropy, standardize


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_crops_are_pictures_and_differ():
    x = torch.rand(6, 3, 64, 64, generator=seeded(0))
    first, second, again = (
        crops(x, least=0.3, most=0.5, size=32, generator=seeded(seed)) for seed in (1, 2, 1)
    )
    assert first.shape == (6, 3, 32, 32) and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_a_crop_of_a_plain_picture_is_plain():
    plain = torch.full((4, 3, 64, 64), 0.4)
    found = crops(plain, least=0.3, most=0.5, size=32, generator=seeded(3))
    assert (found.amax((2, 3)) - found.amin((2, 3))).max() < 1e-4


def test_the_targets_own_output_costs_least():
    output = torch.randn(5, 7, generator=seeded(4)) * WARM
    for wanted in range(7):
        target = one_hot(torch.tensor(wanted), 7).float().expand(5, 7)
        expected = torch.nn.functional.cross_entropy(output / WARM, target, reduction="none")
        assert torch.allclose(cross_entropy(output, target), expected)
    own = (output / WARM).softmax(1)
    assert (cross_entropy(output, own) <= cross_entropy(output.roll(1, 1), own) + 1e-6).all()


def test_the_student_takes_small_crops_and_masks():
    student = Student().eval()
    whole = torch.rand(2, 3, 64, 64, generator=seeded(5))
    part = torch.rand(2, 3, 32, 32, generator=seeded(6))
    masked = torch.zeros(2, 64, dtype=torch.bool)
    masked[:, 3] = True
    with torch.no_grad():
        assert student(standardize(part)).shape == (2, 17, 1024)
        plain = student(standardize(whole))
        hidden = student(standardize(whole), masked)
    assert not torch.allclose(plain[:, 4], hidden[:, 4], atol=1e-3)

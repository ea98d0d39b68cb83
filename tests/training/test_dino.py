"""Crops, and what the student is asked to say."""

import torch
from torch.nn.functional import one_hot

from creativelib.training.dino import WARM, Student, crops, cross_entropy, standard


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_crops_are_pictures_and_differ():
    x = torch.rand(6, 3, 64, 64, generator=seeded(0))
    first, second = (crops(x, 0.3, 0.5, 32, seeded(seed)) for seed in (1, 2))
    assert first.shape == (6, 3, 32, 32) and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, crops(x, 0.3, 0.5, 32, seeded(1))) and not torch.equal(first, second)


def test_a_crop_of_a_plain_picture_is_plain():
    found = crops(torch.full((4, 3, 64, 64), 0.4), 0.3, 0.5, 32, seeded(3))
    assert (found.amax((2, 3)) - found.amin((2, 3))).max() < 1e-4


def test_saying_the_same_costs_least():
    said = torch.randn(5, 7, generator=seeded(4)) * WARM
    for wanted in range(7):
        target = one_hot(torch.tensor(wanted), 7).float().expand(5, 7)
        assert torch.allclose(
            cross_entropy(said, target),
            torch.nn.functional.cross_entropy(said / WARM, target, reduction="none"),
        )
    own = (said / WARM).softmax(1)
    assert (cross_entropy(said, own) <= cross_entropy(said.roll(1, 1), own) + 1e-6).all()


def test_the_student_takes_small_crops_and_masks():
    student = Student().eval()
    whole = torch.rand(2, 3, 64, 64, generator=seeded(5))
    part = torch.rand(2, 3, 32, 32, generator=seeded(6))
    masked = torch.zeros(2, 64, dtype=torch.bool)
    masked[:, 3] = True
    with torch.no_grad():
        assert student(standard(part)).shape == (2, 17, 1024)
        plain = student(standard(whole))
        hidden = student(standard(whole), masked)
    assert not torch.allclose(plain[:, 4], hidden[:, 4], atol=1e-3)

"""Training the autoregressive prior: what it is told, its size, and that its loss teaches it."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from creativelib.autoregressive import Codes
from creativelib.training import export
from creativelib.training.autoregressive import build, tell
from creativelib.training.loop import inner


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes():
    return Codes.fit(torch.randn(500, 96, generator=seeded(0)), torch.rand(500, generator=seeded(1)), pca=0.5, buckets=16, dots=4)


@pytest.fixture(scope="module")
def clip():
    text, _, words = export.load_clip()
    return text, words


def test_captions_are_told_as_the_pipeline_tells_them(clip, menagerie):
    captions = ["a photo of a cat", "a neon sign of a red castle"]
    told, cond = tell(*clip, captions), menagerie.encode_text(captions)
    assert torch.equal(told.mask, cond.mask)
    torch.testing.assert_close(told.pooled, cond.pooled)
    torch.testing.assert_close(told.tokens, cond.tokens)


def test_a_caption_that_is_too_long_is_cut_off(clip):
    assert tell(*clip, ["a photo of a " + "red " * 40 + "cat"]).mask.all()


def test_the_loss_falls_and_reaches_every_weight(clip, codes):
    torch.manual_seed(0)
    model, cond = build(codes), tell(*clip, ["a photo of a cat", "a red castle", ""])
    numbers, dot, keep = codes.encode(torch.randn(3, 96, generator=seeded(2))), torch.tensor([0, 1, 3]), torch.tensor([True, True, False])
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-3), []
    for _ in range(8):
        losses.append(cross_entropy(model(cond, dot, numbers, keep).flatten(0, 1), numbers.flatten()))
        optimizer.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


def test_the_matrices_of_its_blocks_are_muons(codes):
    chosen = {name for name, p in build(codes).named_parameters() if inner(name, p)}
    assert {name.split(".")[0] for name in chosen} == {"transformer_blocks"}
    assert sum(".h." in name for name in chosen) == 4 * 4

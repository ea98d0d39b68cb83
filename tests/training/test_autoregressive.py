"""Training the autoregressive prior: what it is told, its size, and that its loss teaches it."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from creativelib.fitting.loop import inner
from creativelib.training import clip, export, stream, tokenizer
from creativelib.training.autoregressive import build, tell
from creativelib.unclip.autoregressive import Codes
from creativelib.unclip.pipeline import load


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes():
    z = torch.randn(500, clip.DIM, generator=seeded(0))
    return Codes.fit(z, torch.rand(500, generator=seeded(1)), pca=0.5, buckets=16, dots=4)


@pytest.fixture(scope="module")
def said(untrained):
    """Tells captions as the stage does, from the token ids that it finds with its pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "PRIOR", untrained / "prior")
        text, _, words = export.load_clip()
    numbers = stream.vocabulary(words)

    def tell_captions(captions):
        return tell(text, stream.encode(captions, numbers, words), words.eos_token_id)

    return tell_captions


def test_captions_are_told_as_the_pipeline_tells_them(said, untrained):
    captions = ["a photo of a cat", "a neon sign of a red castle"]
    told = said(captions)
    cond = load(untrained, device="cpu").encode_text(captions)
    assert torch.equal(told.mask[:, : cond.used], cond.mask) and not told.mask[:, cond.used :].any()
    torch.testing.assert_close(told.pooled, cond.pooled)
    torch.testing.assert_close(told.tokens[:, : cond.used], cond.tokens)


def test_a_caption_that_is_too_long_is_cut_off(said):
    told = said(["a photo of a " + "red " * 25 + "cat"])
    assert told.mask.all() and told.mask.shape == (1, tokenizer.LENGTH)


def test_the_loss_falls_and_reaches_every_weight(said, codes):
    torch.manual_seed(0)
    model = build(codes)
    cond = said(["a photo of a cat", "a red castle", ""])
    numbers = codes.encode(torch.randn(3, clip.DIM, generator=seeded(2)))
    dot = torch.tensor([0, 1, 3])
    keep = torch.tensor([True, True, False])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        losses.append(
            cross_entropy(model(cond, dot, numbers, keep).flatten(0, 1), numbers.flatten())
        )
        optimizer.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


def test_the_matrices_of_its_blocks_are_muons(codes):
    chosen = {name for name, p in build(codes).named_parameters() if inner(name, p)}
    assert {name.split(".")[0] for name in chosen} == {"transformer_blocks"}
    assert sum(".h." in name for name in chosen) == 4 * 4

"""Training the autoregressive prior: its captions, its loss and the weights for Muon."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from creativelib.fitting.loop import is_inner
from creativelib.training import clip, export, stream, tokenizer
from creativelib.training.autoregressive import build, text_condition
from creativelib.unclip.autoregressive import Codes
from creativelib.unclip.pipeline import load


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes():
    z = torch.randn(500, clip.DIM, generator=seeded(0))
    return Codes.fit(z, torch.rand(500, generator=seeded(1)), pca=0.5, buckets=16, dots=4)


@pytest.fixture(scope="module")
def encode_captions(untrained):
    """Encode captions as the stage does, from token ids like those stored with its pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "PRIOR", untrained / "prior")
        text, _, words = export.load_clip()
    numbers = stream.vocabulary(words)

    def encode(captions):
        return text_condition(text, stream.encode(captions, numbers, words), end=words.eos_token_id)

    return encode


def test_captions_are_encoded_as_the_pipeline_encodes_them(encode_captions, untrained):
    captions = ["a photo of a cat", "a neon sign of a red castle"]
    ours = encode_captions(captions)
    cond = load(untrained, device="cpu").encode_text(captions)
    assert torch.equal(ours.mask[:, : cond.used], cond.mask)
    assert not ours.mask[:, cond.used :].any()
    torch.testing.assert_close(ours.pooled, cond.pooled)
    torch.testing.assert_close(ours.tokens[:, : cond.used], cond.tokens)


def test_a_caption_that_is_too_long_is_cut_off(encode_captions):
    cond = encode_captions(["a photo of a " + "red " * 25 + "cat"])
    assert cond.mask.all() and cond.mask.shape == (1, tokenizer.LENGTH)


def test_the_loss_falls_and_reaches_every_weight(encode_captions, codes):
    torch.manual_seed(0)
    model = build(codes)
    cond = encode_captions(["a photo of a cat", "a red castle", ""])
    numbers = codes.encode(torch.randn(3, clip.DIM, generator=seeded(2)))
    dot = torch.tensor([0, 1, 3])
    keep = torch.tensor([True, True, False])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        logits = model(cond, dot, numbers, keep)
        losses.append(cross_entropy(logits.flatten(0, 1), numbers.flatten()))
        optimizer.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


def test_muon_gets_the_matrices_of_its_blocks(codes):
    chosen = {name for name, p in build(codes).named_parameters() if is_inner(name, p)}
    assert {name.split(".")[0] for name in chosen} == {"transformer_blocks"}
    assert sum(".h." in name for name in chosen) == 4 * 4

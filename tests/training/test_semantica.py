"""Semantica's loss, and the pictures that a step shows."""

from types import SimpleNamespace

import torch

from creativelib.semantica.corpus import Corpus, Filter, pairs, self_pairs
from creativelib.semantica.learning import LARGEST, build, error, make_loss
from creativelib.semantica.model import level
from creativelib.training import vqmodel
from creativelib.training.semantica import RECIPE
from creativelib.training.variants import SHORT, VARIANTS, folder


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_an_error_of_the_picture_is_an_error_of_the_velocity_up_to_a_limit():
    clean, noise = torch.randn(2, 6, 2, 4, 4, generator=seeded(0))
    guess = clean + 0.3 * torch.randn(clean.shape, generator=seeded(1))
    t = torch.linspace(0.5, 1, 6)
    at = level(t[:, None, None, None])
    x = at.signal * clean + at.noise * noise
    # v = signal * noise - noise level * clean. A guess of the clean picture gives a guess of the
    # noise, and so one of v.
    guessed = at.signal * (x - at.signal * guess) / at.noise - at.noise * guess
    velocity = at.signal * noise - at.noise * clean
    assert torch.allclose(error(guess, clean, t), (guessed - velocity).square().mean(), atol=1e-5)
    early = torch.full((6,), 1e-3)
    assert torch.allclose(error(guess, clean, early), LARGEST * (guess - clean).square().mean())


def test_the_size_fits_and_tokens_of_any_number_are_looked_at():
    unet = build(width=128, latent=vqmodel.CHANNELS)
    # Two of them have to fit into 9 MiB in half precision.
    assert 2 * sum(p.numel() for p in unet.parameters()) < 4.5 * 2**20
    x = torch.randn(2, 8, 16, 16)
    t = torch.rand(2) * 1000
    for length in (65, 260):
        tokens = torch.randn(2, length, 128)
        drawn = unet(x, t, tokens, class_labels=torch.tensor([0, 4])).sample
        assert drawn.shape == x.shape


class Recorder(torch.nn.Module):
    """Stand-in for the network that records its inputs and returns zeros."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.calls = []
        self.config = SimpleNamespace(num_class_embeds=5)

    def forward(self, x, t, tokens, class_labels):
        self.calls.append((x, t, tokens))
        self.counts = class_labels
        return type("Output", (), {"sample": x * self.weight})


def corpus(n):
    """Make n pictures, four to a page, whose latents and tokens are their numbers."""
    number = torch.arange(1.0, n + 1)
    return Corpus(
        latents=number[:, None, None, None].expand(n, 1, 4, 4).half(),
        tokens=number[:, None, None].expand(n, 3, 2).half(),
        pooled=torch.nn.functional.normalize(torch.ones(n, 2), dim=1),
        page=torch.arange(n) // 4,
    )


def test_a_step_shows_others_of_the_page_and_sometimes_nothing():
    pages = corpus(40)
    net = Recorder()
    loss = make_loss(corpus=pages, unet=net, learned=pairs(pages, Filter()), shots=(1, 2), batch=64)
    for step in range(30):
        loss(step, seeded(step))
    lengths = {tokens.shape[1] for _, _, tokens in net.calls}
    assert lengths == {3, 6}  # the tokens of one picture, or of two
    assert {*net.counts.tolist()} <= {0, net.calls[-1][2].shape[1] // 3}
    blind = torch.cat([(tokens == 0).all((1, 2)) for _, _, tokens in net.calls])
    assert 0.07 < blind.float().mean() < 0.13
    times = torch.cat([t for _, t, _ in net.calls]) / 1000
    assert times.min() > 0 and times.max() <= 1 and abs(times.mean() - 0.5) < 0.02


def test_the_control_is_shown_the_picture_that_it_has_to_draw():
    pages = corpus(8)
    net = Recorder()
    loss = make_loss(corpus=pages, unet=net, learned=self_pairs(pages), shots=(1,), batch=16)
    loss(0, seeded(0))
    x, t, tokens = net.calls[0]
    number = tokens[:, 0, 0]
    at = level(t / 1000)
    legible = (number > 0) & (at.noise < 0.3)
    drawn = x.mean((1, 2, 3)) / at.signal
    assert torch.allclose(drawn[legible], number[legible], atol=0.6)


def test_variants_are_trained_alike_and_kept_apart():
    assert len({folder(name) for name in VARIANTS}) == len(VARIANTS)
    assert {encoder for encoder, _ in VARIANTS.values()} == {"clip", "dino"}
    assert SHORT.steps < RECIPE.steps and SHORT.batch == RECIPE.batch

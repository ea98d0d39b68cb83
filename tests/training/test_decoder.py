"""The decoder's training: times spread over the schedule, losses that a worse guess raises."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from creativelib.training import clip, stream, vqmodel
from creativelib.training.data import visible_factors
from creativelib.training.decoder import (
    LIKE,
    SAYS,
    SHOWS,
    alike,
    build,
    guess,
    losses,
    scheduler,
    spread_times,
)
from creativelib.training.reader import Read, Reader, fit, misread
from creativelib.world import CATEGORIES
from creativelib.world.oracle import slots
from creativelib.world.scenes import sample_scenes

PLACES = stream.SIDE // vqmodel.SHRINK


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def latents(n, seed):
    return torch.randn(n, vqmodel.CHANNELS, PLACES, PLACES, generator=seeded(seed))


def embeddings(n, seed):
    return torch.randn(n, clip.DIM, generator=seeded(seed))


def test_each_time_lies_in_its_own_part_of_the_schedule():
    times = spread_times(40, seeded(0))
    assert torch.equal(times * 40 // 1000, torch.arange(40))
    assert times.min() >= 0 and times.max() < 1000


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Reader()


def test_features_differ_more_the_further_latents_are_apart(net):
    clean = latents(6, 1)
    noise = latents(6, 2)
    true = net.features(clean)
    all_rows = torch.ones(6)
    found = [
        alike(net.features(clean + much * noise), true, all_rows).item() for much in (0.0, 0.2, 0.5)
    ]
    assert found[0] == 0 and found[0] < found[1] < found[2]


def test_only_weighted_pictures_count(net):
    clean = latents(6, 1)
    spoiled = clean.clone()
    spoiled[3:] += 1
    true = net.features(clean)
    found = net.features(spoiled)
    assert alike(found, true, torch.tensor([1.0, 1, 1, 0, 0, 0])) == 0
    assert alike(found, true, torch.tensor([0.0, 0, 0, 1, 1, 1])) > 0


def test_the_reader_gives_an_embedding_and_all_factors_for_each_latent(net):
    read = net.read(net.features(latents(3, 1))[-1])
    assert read.embedding.shape == (3, clip.DIM)
    assert read.factors.shape == (3, slots().max())


def test_misreading_costs_the_mean_cross_entropy():
    scenes = sample_scenes(40, seeded(3), wild=0.5)
    sizes = [[len(f.values) for f in CATEGORIES[i].factors] for i in scenes.category]
    hidden = visible_factors(scenes) < 0
    entropies = [
        [math.log(n) for n, h in zip(row, out, strict=False) if not h]
        for row, out in zip(sizes, hidden, strict=True)
    ]
    expected = torch.tensor([sum(row) / len(row) for row in entropies])
    nothing = torch.zeros(40, int(slots().max()))
    torch.testing.assert_close(misread(nothing, scenes), expected, rtol=1e-5, atol=0)
    where = slots()[scenes.category].gather(2, scenes.factors.clamp_min(0)[..., None])[..., 0]
    right = torch.zeros(40, int(slots().max()) + 1)
    right.scatter_(1, where.masked_fill(scenes.factors < 0, right.shape[1] - 1), 30.0)
    assert misread(right[:, :-1], scenes).max() < 1e-6


def test_one_misread_picture_costs_no_other():
    scenes = sample_scenes(8, seeded(3), wild=0.5)
    factors = torch.randn(8, int(slots().max()), generator=seeded(4))
    spoiled = factors.clone()
    spoiled[5] = -spoiled[5]
    changed = misread(spoiled, scenes) != misread(factors, scenes)
    assert changed.nonzero().tolist() == [[5]]


class Perfect(torch.nn.Module):
    """Stand-in for the decoder that returns the true velocity and a useless variance."""

    def __init__(self, clean, alpha):
        super().__init__()
        self.clean = clean
        self.alpha = alpha

    def forward(self, noisy, t, encoder_hidden_states, added_cond_kwargs):
        self.conditions = added_cond_kwargs["image_embeds"]
        signal = self.alpha[t].sqrt()[:, None, None, None]
        spread = (1 - self.alpha[t]).sqrt()[:, None, None, None]
        noise = (noisy - signal * self.clean) / spread
        velocity = signal * noise - spread * self.clean
        return SimpleNamespace(sample=torch.cat([velocity, torch.full_like(velocity, 9.0)], 1))


def test_the_true_velocity_gives_the_true_latents():
    clean = latents(64, 6)
    z = embeddings(64, 5)
    empty = embeddings(1, 8)
    alpha = scheduler().alphas_cumprod
    model = Perfect(clean, alpha)
    found = guess(
        model=model,
        latents=clean,
        z=z,
        empty=empty,
        alpha=alpha,
        t=spread_times(64, seeded(7)),
        generator=seeded(7),
    )
    assert found.error < 1e-4
    torch.testing.assert_close(found.latents, clean, rtol=0, atol=1e-2)
    expected = torch.where(found.conditioned[:, None], z, empty)
    assert torch.equal(model.conditions, expected)
    assert 0.7 < found.conditioned.float().mean() < 1


def test_the_decoder_reports_its_terms_and_learns_from_all(net):
    scenes = sample_scenes(16, seeded(4), wild=0.5)
    z = embeddings(16, 5)
    clean = latents(16, 6)
    net.requires_grad_(False)
    torch.manual_seed(0)
    model = build()
    alpha = scheduler().alphas_cumprod
    t = spread_times(16, seeded(7))
    found = guess(
        model=model,
        latents=clean,
        z=z,
        empty=torch.zeros(1, clip.DIM),
        alpha=alpha,
        t=t,
        generator=seeded(7),
    )
    terms = losses(found=found, latents=clean, target=z, scenes=scenes, t=t, net=net)
    whole = terms["error"] + SAYS * terms["says"] + LIKE * terms["like"] + SHOWS * terms["shows"]
    torch.testing.assert_close(terms["loss"].detach(), whole)
    terms["loss"].backward()
    assert all(p.grad is None for p in net.parameters())
    grad = model.conv_out.weight.grad
    assert grad[: vqmodel.CHANNELS].abs().sum() > 0
    assert grad[vqmodel.CHANNELS :].abs().sum() == 0  # of the variance, which is not trained


def test_embeddings_that_were_not_given_do_not_count(net):
    scenes = sample_scenes(8, seeded(4), wild=0.5)
    clean = latents(8, 6)
    z = embeddings(8, 5)
    alpha = scheduler().alphas_cumprod
    t = spread_times(8, seeded(7))
    found = guess(
        model=Perfect(clean, alpha),
        latents=clean,
        z=z,
        empty=z[:1],
        alpha=alpha,
        t=t,
        generator=seeded(7),
    )
    found = replace(found, conditioned=torch.tensor([True] * 4 + [False] * 4))
    other = z.clone()
    other[4:] += 1
    with torch.no_grad():
        terms, again = (
            losses(found=found, latents=clean, target=target, scenes=scenes, t=t, net=net)
            for target in (z, other)
        )
    assert terms["says"] == again["says"]


def test_the_reader_is_fitted_to_lessons(tmp_path, monkeypatch, shrink):
    shrink(monkeypatch, tmp_path, tmp_path / "cache")
    scenes = sample_scenes(8, seeded(4), wild=0.5)
    lesson = stream.Lesson(scenes, {"latents": latents(8, 6).half(), "z": embeddings(8, 5)})
    steps = []

    def draw(step, generator):
        steps.append(step)
        return lesson

    net, facts = fit(draw, lambda z: z, torch.device("cpu"))
    assert facts["steps"] == 2 and steps == [0, 1]
    assert not any(p.requires_grad for p in net.parameters())
    assert isinstance(net.read(net.features(latents(1, 1))[-1]), Read)
    again, _ = fit(draw, lambda z: z, torch.device("cpu"))
    assert steps == [0, 1]  # the second one comes from the checkpoint
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))

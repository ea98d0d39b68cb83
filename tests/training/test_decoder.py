"""What the decoder's second stage adds: times spread over the schedule, and losses that a worse prediction raises."""

import math

import pytest
import torch

from creativelib.training import vqmodel
from creativelib.training.data import mixed_rows, visible_factors
from creativelib.training.decoder import LIKE, SAYS, SHOWS, Lessons, alike, build, scheduler, spread_times
from creativelib.training.reader import Read, Reader, misread
from creativelib.world import CATEGORIES
from creativelib.world.oracle import slots
from creativelib.world.scenes import sample_scenes


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_each_time_lies_in_its_own_part_of_the_schedule():
    times = spread_times(40, seeded(0))
    assert torch.equal(times * 40 // 1000, torch.arange(40))
    assert times.min() >= 0 and times.max() < 1000


@pytest.fixture
def eyes():
    torch.manual_seed(0)
    return Reader()


def test_features_differ_more_the_further_latents_are_apart(eyes):
    clean = torch.randn(6, vqmodel.CHANNELS, 16, 16, generator=seeded(1))
    noise = torch.randn(clean.shape, generator=seeded(2))
    true, all_rows = eyes.features(clean), torch.ones(6)
    losses = [alike(eyes.features(clean + much * noise), true, all_rows).item() for much in (0.0, 0.2, 0.5)]
    assert losses[0] == 0 and losses[0] < losses[1] < losses[2]


def test_only_weighted_pictures_count(eyes):
    clean = torch.randn(6, vqmodel.CHANNELS, 16, 16, generator=seeded(1))
    spoiled = clean.clone()
    spoiled[3:] += 1
    true, found = eyes.features(clean), eyes.features(spoiled)
    assert alike(found, true, torch.tensor([1.0, 1, 1, 0, 0, 0])) == 0
    assert alike(found, true, torch.tensor([0.0, 0, 0, 1, 1, 1])) > 0


def test_the_reader_gives_an_embedding_and_all_factors_for_each_latent(eyes):
    clean = torch.randn(3, vqmodel.CHANNELS, 16, 16, generator=seeded(1))
    read = eyes.read(eyes.features(clean)[-1])
    assert read.embedding.shape == (3, 96)
    assert read.factors.shape == (3, slots().max())


def test_misreading_costs_what_the_cross_entropy_says():
    scenes = sample_scenes(40, seeded(3), wild=0.5)
    sizes = [[len(f.values) for f in CATEGORIES[i].factors] for i in scenes.category]
    hidden = visible_factors(scenes) < 0
    expected = [math.log(n) for row, out in zip(sizes, hidden, strict=True) for n, h in zip(row, out, strict=False) if not h]
    nothing = Read(torch.zeros(40, 96), torch.zeros(40, int(slots().max())))
    assert misread(nothing, scenes).item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    where = slots()[scenes.category].gather(2, scenes.factors.clamp_min(0)[..., None])[..., 0]
    right = torch.zeros(40, int(slots().max()) + 1)
    right.scatter_(1, where.masked_fill(scenes.factors < 0, right.shape[1] - 1), 30.0)
    assert misread(Read(nothing.embedding, right[:, :-1]), scenes).item() < 1e-6


def test_the_second_stage_reports_its_terms_and_teaches_the_model(eyes):
    scenes = sample_scenes(64, seeded(4), wild=0.5)
    on = Lessons(scenes, torch.randn(64, 96, generator=seeded(5)), torch.randn(64, vqmodel.CHANNELS, 16, 16, generator=seeded(6)),
                 torch.zeros(1, 96), scheduler())
    torch.manual_seed(0)
    model = build()
    terms = on.second(model, eyes.requires_grad_(False))(0, seeded(7))
    whole = terms["error"] + SAYS * terms["says"] + LIKE * terms["like"] + SHOWS * terms["shows"]
    torch.testing.assert_close(terms["loss"].detach(), whole)
    terms["loss"].backward()
    assert all(p.grad is None for p in eyes.parameters())
    assert model.conv_out.weight.grad[: vqmodel.CHANNELS].abs().sum() > 0


def test_mixed_rows_hold_the_asked_share():
    scenes = sample_scenes(500, seeded(8), wild=0.2)
    rows = mixed_rows(scenes, 50, 0.6, seeded(9))
    assert (scenes.species[rows] < 0).sum() == 30
    assert not torch.equal((scenes.species[rows] < 0).sort(descending=True).values, scenes.species[rows] < 0)

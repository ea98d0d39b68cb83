"""What the decoder's second stage adds: times spread over the schedule, and losses that a worse prediction raises."""

import pytest
import torch

from creativelib.training import vqmodel
from creativelib.training.decoder import alike, spread_times
from creativelib.training.reader import Reader


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


def test_the_reader_gives_an_embedding_for_each_latent(eyes):
    clean = torch.randn(3, vqmodel.CHANNELS, 16, 16, generator=seeded(1))
    assert eyes(clean).shape == (3, 96)
    assert torch.equal(eyes(clean), eyes.head(eyes.features(clean)[-1]))

"""Counts of evaluations: as by hand, by the counting pipeline alone, and with adapters."""

import pytest
import torch

from creativelib.concept import init
from creativelib.evaluation.baselines import prompt_only
from creativelib.evaluation.counting import counted
from creativelib.unclip.prior import PriorSampling


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_counts_are_those_of_a_hand_count(pipe):
    own, found = counted(pipe)
    cond = own.encode_text(["a photo of a pet", "a photo of a plant"])
    z = own.sample_prior(cond, 3, noise=seeded(), sampling=PriorSampling(steps=4))
    assert (found.prior, found.decoder) == (2 * 3 * 4, 0)
    own.decode(z, generator=seeded(), guidance=1.0, steps=7)
    assert found.decoder == 6 * 7


def test_guidance_is_two_rows(pipe):
    own, found = counted(pipe)
    cond = own.encode_text(["a photo of a pet"])
    sampling = PriorSampling(guidance=2.0, steps=4)
    z = own.sample_prior(cond, 3, noise=seeded(), sampling=sampling)
    assert found.prior == 2 * 3 * 4
    own.decode(z, generator=seeded(), guidance=3.0, steps=5)
    assert found.decoder == 2 * 3 * 5


def test_many_rows_are_counted_batch_by_batch(pipe):
    own, found = counted(pipe)
    own.sample_prior(own.encode_text(["a pet"]), 600, noise=seeded())
    assert found.prior == 600 * 5


@pytest.mark.parametrize("kind", ["feature", "lora"])
def test_concepts_are_counted_and_the_given_pipeline_is_not(pipe, kind):
    """Adapters change a copy of the prior, which they made before or after others counted."""
    own, found = counted(pipe)
    _, other = counted(pipe)
    concept = init(own, kind, "pet", 2, seeded())
    for _ in range(2):
        concept.sample(own, "a photo of a {}", 3, noise=seeded())
    pipe.sample_prior(pipe.encode_text(["a pet"]), 3, noise=seeded())
    assert found.prior == 2 * (2 * 3 * 5) and other.prior == 0
    assert not pipe.prior._forward_pre_hooks


def test_a_pipeline_that_counts_draws_the_same(pipe):
    own, _ = counted(pipe)
    drawn = [prompt_only(each, "pet", 2, generator=seeded(1)) for each in (pipe, own)]
    assert torch.equal(drawn[0].pictures, drawn[1].pictures)

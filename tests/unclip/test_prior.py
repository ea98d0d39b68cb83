"""The prior's steps and noise, laid out beforehand, against UnCLIPScheduler's own."""

import copy

import pytest
import torch

from creativelib.errors import InputError
from creativelib.optimization.loop import gradients_of
from creativelib.unclip.pipeline import load
from creativelib.unclip.prior import Noise, PriorSchedule, expand_generators
from stacks import make_scheduler


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [2, 5, 25, 1000])
def test_steps_equal_the_schedulers(count):
    scheduler = make_scheduler(5.0)
    schedule = PriorSchedule.of(scheduler, count, torch.device("cpu"))
    scheduler.set_timesteps(count)
    times = scheduler.timesteps.tolist()
    x0_pred = 4 * torch.randn(3, 8, generator=seeded())
    z = torch.randn(3, 8, generator=seeded(1))
    for index, (t, then) in enumerate(zip(times, [*times[1:], None], strict=True)):
        step = scheduler.step(x0_pred, t, z, prev_timestep=then, generator=seeded(2))
        noise = torch.randn(3, 8, generator=seeded(2))
        assert torch.equal(schedule.step(index, x0_pred, z, noise=noise), step.prev_sample)
    noise = torch.randn(3, 8, generator=seeded(3))
    expected = scheduler.add_noise(x0_pred, noise, torch.full((3,), times[1]))
    assert torch.equal(schedule.add_noise(1, x0_pred, noise), expected)


def test_steps_leave_the_scheduler_as_it_was():
    scheduler = make_scheduler(5.0)
    before = copy.deepcopy(scheduler.__dict__)
    PriorSchedule.of(scheduler, 5, torch.device("cpu"))
    assert torch.equal(scheduler.timesteps, before["timesteps"])
    assert scheduler.num_inference_steps == before["num_inference_steps"]


def test_other_schedulers_are_refused():
    from diffusers import UnCLIPScheduler

    for wrong in (
        UnCLIPScheduler(prediction_type="epsilon"),
        UnCLIPScheduler(prediction_type="sample", variance_type="learned_range"),
    ):
        with pytest.raises(InputError, match="expected 'sample' and 'fixed_small_log'"):
            PriorSchedule.of(wrong, 5, torch.device("cpu"))


def test_noise_drawn_beforehand_is_the_noise_drawn_at_each_step(pipe):
    cond = pipe.encode_text(["a photo of a pet", "a plant"])
    for generator in (lambda: seeded(4), lambda: [seeded(4), seeded(5)]):
        drawn = Noise.draw(generator(), steps=5, k=2, n=3, d=16, device=pipe.device)
        assert drawn.noise.shape == (5, 2, 3, 16)
        assert torch.equal(
            pipe.sample_prior(cond, 3, noise=drawn), pipe.sample_prior(cond, 3, noise=generator())
        )
    own = Noise.draw([seeded(5)], steps=5, k=1, n=3, d=16, device=pipe.device)
    assert torch.equal(
        own.noise[:, 0],
        Noise.draw([seeded(4), seeded(5)], steps=5, k=2, n=3, d=16, device=pipe.device).noise[:, 1],
    )
    with pytest.raises(
        InputError,
        match="generator is a list of 3; expected one generator, or one for each of the 2",
    ):
        expand_generators([seeded()] * 3, 2, 1)


@pytest.mark.parametrize("weight", [1e-6, 1.0, 1e6])
def test_gradients_in_float16_neither_overflow_nor_vanish(stack, weight):
    """They equal those in float32 for any size of the loss, and each concept has its own."""
    found = []
    for dtype in (torch.float32, torch.float16):
        pipe = load(stack, "cpu", dtype)
        vectors = pipe.token_table[[300, 300]].float().requires_grad_()
        cond = pipe.encode_spliced("a photo of a pet", 5, vectors)
        z = pipe.sample_prior(cond, 2, noise=[seeded(1), seeded(2)])
        total = weight * (z.square().sum(2).mean(1) * torch.tensor([1.0, 1e-3]))
        found.append(gradients_of(total, z, [vectors], dtype=dtype)[0])
    for exact, half in zip(*found, strict=True):
        assert half.isfinite().all() and (half - exact).norm() < 0.1 * exact.norm()

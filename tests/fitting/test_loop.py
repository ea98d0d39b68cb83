"""The training loop: a resumed run repeats an unbroken one, NaN stops it, checkpoints stay good."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from creativelib.fitting import loop
from creativelib.fitting.loop import Recipe, rate, train

RECIPE = Recipe("toy", steps=30, batch=8, lr=0.05, warmup=5, seed=3, save_every=0.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CREATIVELIB_CACHE", str(tmp_path))
    return tmp_path


class Toy(nn.Module):
    """One matrix under the name of a transformer's blocks, for Muon, and a layer for AdamW."""

    def __init__(self):
        super().__init__()
        self.block = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 4)])})
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.block["layers"][0](x))


def model():
    torch.manual_seed(0)
    return Toy()


def toy_loss(net, fail_at=None):
    def loss(step, generator):
        x = torch.randn(RECIPE.batch, 4, generator=generator)
        value = mse_loss(net(x).float(), x.sum(1, keepdim=True))
        return {"loss": value * float("nan") if step == fail_at else value}

    return loss


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_training_fits_and_reports(muon):
    net = model()
    facts = train(net, toy_loss(net), replace(RECIPE, steps=400, muon=muon))
    x = torch.randn(100, 4)
    assert mse_loss(net(x), x.sum(1, keepdim=True)) < 0.05
    assert facts["steps"] == 400 and facts["losses"]["loss"] < 0.2


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_a_killed_run_resumes_to_the_same_weights(muon):
    unbroken = model()
    train(unbroken, toy_loss(unbroken), replace(RECIPE, name="unbroken", muon=muon))
    killed = model()
    with pytest.raises(FloatingPointError):
        train(killed, toy_loss(killed, fail_at=17), replace(RECIPE, name="killed", muon=muon))
    again = model()
    train(again, toy_loss(again), replace(RECIPE, name="killed", muon=muon))
    for name, parameter in again.state_dict().items():
        assert torch.equal(parameter, unbroken.state_dict()[name])


def test_muon_takes_inner_weights_and_moves_filters_in_place():
    net = model()
    net.conv = nn.Conv2d(2, 3, 3)
    net.conv_in = nn.Conv2d(1, 2, 3)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    optimizers = loop.Optimizers(dict(net.named_parameters()), replace(RECIPE, muon=0.02))
    assert {k for k, owner in optimizers.owner.items() if owner is optimizers.parts[1]} == {
        "block.layers.0.weight",
        "conv.weight",
    }
    of_filters = net.conv(net.conv_in(torch.randn(1, 1, 8, 8))).sum()
    of_matrices = net(torch.randn(2, 4)).sum()
    of_filters.add(of_matrices).backward()
    optimizers.step(1.0)
    assert all((p != before[k]).any() for k, p in net.named_parameters())


def test_channels_last_filters_take_the_same_steps():
    weights = []
    for form in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        conv = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3)}).to(memory_format=form)
        optimizers = loop.Optimizers(dict(conv.named_parameters()), replace(RECIPE, muon=0.02))
        for step in range(3):
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            conv.zero_grad()
            conv["conv"](x).square().sum().backward()
            optimizers.step(1.0)
        weights.append(conv["conv"].weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


def test_nan_names_the_step_and_keeps_the_last_good_state(cache):
    net = model()
    with pytest.raises(FloatingPointError, match="step 9"):
        train(net, toy_loss(net, fail_at=9), RECIPE)
    assert loop.read_facts(cache / "training" / "toy.safetensors")["step"] == 9


def test_the_rate_rises_then_falls():
    rates = [rate(RECIPE, step) for step in range(RECIPE.steps)]
    assert rates[4] == pytest.approx(1) and rates[0] == pytest.approx(1 / 5)
    assert all(a > b for a, b in zip(rates[5:], rates[6:], strict=False)) and rates[-1] > 0.02


def test_tensors_that_the_loss_carries_are_resumed():
    def counting(net, total, fail_at=None):
        own = toy_loss(net, fail_at)

        def loss(step, generator):
            terms = own(step, generator)
            total.add_(step)
            return terms

        return loss

    net = model()
    total = torch.zeros(())
    recipe = replace(RECIPE, name="carried")
    with pytest.raises(FloatingPointError):
        train(net, counting(net, total, fail_at=20), recipe, carried={"total": total})
    again = model()
    fresh = torch.zeros(())
    train(again, counting(again, fresh), recipe, carried={"total": fresh})
    assert fresh == sum(range(RECIPE.steps))


def ticking(monkeypatch, seconds):
    """Replace the clock by one that advances by so many seconds at each reading."""
    now = iter(range(10**6))
    monkeypatch.setattr(loop.time, "monotonic", lambda: seconds * next(now))


def recorded_rates(monkeypatch):
    """Record the rates of all steps from now on in the list returned."""
    rates = []
    real = loop.Optimizers.step

    def recording(self, rate):
        rates.append(rate)
        real(self, rate)

    monkeypatch.setattr(loop.Optimizers, "step", recording)
    return rates


def test_minutes_end_a_run_with_a_low_rate(monkeypatch):
    ticking(monkeypatch, 1.0)
    rates = recorded_rates(monkeypatch)
    net = model()
    facts = train(net, toy_loss(net), replace(RECIPE, steps=10**6), minutes=1)
    assert facts["steps"] == 60
    assert rates[-1] < 0.1 < max(rates)


def test_the_first_steps_count_against_the_minutes_but_not_as_pace(monkeypatch):
    """They compile networks. A rate falling with them would be low before anything is learned."""
    ticking(monkeypatch, 10.0)
    rates = recorded_rates(monkeypatch)
    net = model()
    train(net, toy_loss(net), replace(RECIPE, steps=10**6, warmup=1), minutes=2)
    assert len(rates) == 12 and min(rates[:3]) > 0.9


def test_a_run_that_used_its_minutes_ends_at_once_and_resumes_with_more(monkeypatch):
    ticking(monkeypatch, 1.0)
    plan = replace(RECIPE, steps=10**6)
    first = model()
    steps = train(first, toy_loss(first), plan, minutes=1)["steps"]
    again = model()
    assert train(again, toy_loss(again), plan, minutes=1)["steps"] == steps
    for name, parameter in again.state_dict().items():
        assert torch.equal(parameter, first.state_dict()[name])
    more = model()
    assert train(more, toy_loss(more), plan, minutes=2)["steps"] > steps + 40

"""The dial: on both sides of the median, back from nats, and no lower than the densest point."""

from dataclasses import replace

import pytest
import torch

from creativelib.concept import EmbeddingConcept
from creativelib.density import FlowDensity, GaussianDensity, MixtureDensity
from creativelib.errors import InputError
from creativelib.steering.recipe import iter_steer, steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import Target, dial_of, rarity_target


def seeded(seed):
    return torch.Generator().manual_seed(seed)


Z = torch.randn(300, 16, generator=seeded(0)) * torch.logspace(0.5, -0.5, 16)
KINDS = {
    "gaussian": GaussianDensity.fit(Z),
    "mixture": MixtureDensity.fit(Z, k=2),
    "flow": FlowDensity.fit(Z, steps=2),
}
DENSITY = KINDS["gaussian"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dial", [-0.2, 0.0, 0.5, 1.0, 1.3])
def test_the_dial_goes_to_nats_and_back(kind, dial):
    target = rarity_target(KINDS[kind], dial)
    assert (target.surprisal < KINDS[kind].quantile(0.5)) == (dial < 0)
    found = dial_of(KINDS[kind], torch.tensor([target.surprisal], dtype=torch.float64))
    assert found.item() == pytest.approx(dial, abs=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_dial_below_all_embeddings_is_refused_and_the_lowest_is_named(kind):
    density = KINDS[kind]
    with pytest.raises(InputError, match="dial is -7.0, a surprisal of .* at least -") as caught:
        rarity_target(density, -7.0)
    lowest = float(str(caught.value).rsplit(" ", 1)[1])
    assert rarity_target(density, lowest).surprisal == pytest.approx(
        density.least_surprisal(), abs=0.1
    )
    with pytest.raises(InputError):
        rarity_target(density, lowest - 0.002)


def test_a_run_to_where_nothing_is_ends_before_it_begins(pipe):
    with pytest.raises(InputError, match="dial is -7.0"):
        iter_steer(pipe, "pet", DENSITY, SteerConfig(dial=-7.0))


@pytest.mark.parametrize(
    ("began", "here", "reached"),
    [(0, 8, False), (0, 9, True), (0, 30, True), (30, 12, False), (30, 11, True), (30, 0, True)],
)
def test_a_target_is_reached_from_either_side(began, here, reached):
    surprisal, start = torch.tensor([[here], [began]], dtype=torch.float32)
    assert Target(10, stop_at=9).reached(surprisal, start).tolist() == [reached]


def test_what_begins_between_stop_and_target_has_arrived():
    here = torch.tensor([9.5, 10.0, 10.5])
    assert Target(10, stop_at=9).reached(here, here).all()


CONFIG = SteerConfig(kind="embedding", lr=0.04, anchor=0.0, spread=0.0, steps=200, samples=1)


@pytest.mark.parametrize("dial", [-0.2, 0.0, 1.3])
@pytest.mark.parametrize("above", [False, True])
def test_steering_comes_to_the_dial_from_both_sides(pipe, dial, above):
    """It used to end at once wherever it began above, and to refuse a dial below 0."""
    rank = DENSITY.surprisal(Z).argsort()
    chosen = rank[-2:] if above else rank[:2]
    start = EmbeddingConcept.at("pet", 1.5 * Z[chosen] if above else 0.3 * Z[chosen])
    config = replace(CONFIG, dial=dial)
    result = steer(pipe, "pet", DENSITY, config, start=start)
    assert result.passed.all() and 0 < result.steps < 199
    slack = dial - dial_of(DENSITY, torch.tensor([result.target.stop_at])).item()
    assert torch.allclose(result.dial, torch.full((2,), dial), atol=slack + 0.1)
    expected = dial_of(DENSITY, result.surprisal)
    assert torch.equal(result.dial, expected) and f"{expected[0]:.2f}" in repr(result)


def test_a_resumed_run_knows_the_side_that_it_began_on(pipe, tmp_path):
    start = EmbeddingConcept.at("pet", 3 * Z[:2])
    config = replace(CONFIG, dial=0.2, check_every=5, steps=20)
    file = tmp_path / "run"
    full = list(iter_steer(pipe, "pet", DENSITY, config, start=start))
    for state in iter_steer(pipe, "pet", DENSITY, config, start=start, checkpoint=file):
        if state.optimizer_state.index == 7:
            break
    again = list(iter_steer(pipe, "pet", DENSITY, config, start=start, checkpoint=file))
    assert again[0].optimizer_state.index == 5 and torch.equal(again[-1].began, full[0].surprisal)
    assert torch.equal(again[-1].surprisal, full[-1].surprisal)
    assert torch.equal(again[-1].status, full[-1].status)

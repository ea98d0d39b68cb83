"""The definitions of the oracle's judgments, tested with a net that knows the answers."""

import pytest
import torch
from torch.nn.functional import one_hot

from creativelib.errors import InputError
from creativelib.world import CATEGORIES, styles, truth
from creativelib.world.oracle import (
    BODIES,
    MAX_VALUES,
    Logits,
    Net,
    Oracle,
    blurred_distance,
    departures,
    novelty,
    slots,
    true_log_prob,
)
from creativelib.world.rendering import POSE
from creativelib.world.scenes import Scenes, draw, sample_scenes

EVEN = {"category": 1.0, "factors": 1.0, "broken": 1.0, "style": 1.0}
NONE = int(slots().max())  # the column of values that do not exist


class PerfectNet(torch.nn.Module):
    """A net that answers with the logits of given scenes for any pictures."""

    def __init__(self, scenes: Scenes, sharpness: float = 30.0):
        super().__init__()
        self.scenes = scenes
        self.sharpness = sharpness

    def forward(self, pictures):
        s = self.scenes
        k = self.sharpness
        index = slots()[s.category].gather(2, s.factors.clamp_min(0)[:, :, None])[:, :, 0]
        factors = torch.zeros(len(s), NONE + 1).scatter_(
            1, torch.where(s.factors >= 0, index, NONE), k
        )[:, :NONE]
        low, high = torch.tensor(list(POSE.values())).T
        style = tuple(
            k * one_hot(column, len(values)).float()
            for column, values in zip(s.style.T, styles.FACTORS.values(), strict=True)
        )
        pose = 2 * (s.pose - low) / (high - low) - 1
        return Logits(
            category=k * one_hot(s.category, len(CATEGORIES)).float(),
            broken=torch.full((len(s),), -k),
            factors=factors,
            style=style,
            pose=pose,
        )


def generator():
    return torch.Generator().manual_seed(0)


def oracle_for(scenes):
    return Oracle(PerfectNet(scenes), EVEN, {c.name: 0.02 for c in CATEGORIES})


def certain(factors):
    return one_hot(factors, MAX_VALUES).float()


def everything(factors):
    return torch.ones_like(factors, dtype=torch.bool)


def test_a_picture_that_equals_its_redrawn_reading_is_valid():
    scenes = sample_scenes(12, generator(), category="pet")
    judged = oracle_for(scenes).judge(draw(scenes), "pet")
    assert judged.valid.all() and judged.distance.max() < 1e-4
    assert torch.equal(judged.reading.scenes().factors, scenes.factors)


def test_a_picture_that_differs_from_its_redrawn_reading_is_not_valid():
    scenes = sample_scenes(12, generator(), category="pet")
    assert not oracle_for(scenes).judge(draw(scenes).roll(1, 0), "pet").valid.any()


def test_a_net_sees_larger_pictures_averaged_over_areas():
    torch.manual_seed(0)
    net = Net("residual").eval()
    pictures = torch.rand(2, 3, 64, 64, generator=generator())
    large = pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(net(large).factors, net(pictures).factors)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("side", [64, 128])
def test_every_body_reads_its_size(body, side):
    logits = Net(body, side)(torch.rand(2, 3, side, side, generator=generator()))
    assert logits.factors.shape == (2, NONE) and logits.pose.shape == (2, len(POSE))


def test_a_picture_of_another_category_is_not_valid():
    scenes = sample_scenes(6, generator(), category="pet")
    assert not oracle_for(scenes).judge(draw(scenes), "fruit").valid.any()


def test_species_are_not_novel_and_two_foreign_parts_are():
    pet = truth("pet")
    names = [f.name for f in pet.category.factors]
    first = {
        name: list(f.values)[int(pet.allowed[0, j].int().argmax())]
        for j, (name, f) in enumerate(zip(names, pet.category.factors, strict=True))
    }
    rows = [
        first | changes
        for changes in (
            {},
            {"ears": "antlers"},
            {"ears": "antlers", "legs": "fins"},
            {"color": "purple"},
        )
    ]
    factors = torch.tensor(
        [[list(pet.category.factor(n).values).index(row[n]) for n in names] for row in rows]
    )
    structural = torch.tensor([f.structural for f in pet.category.factors])
    form, surface = novelty(certain(factors), everything(factors), "pet")
    assert torch.equal(form, pet.outside(factors)[:, :, structural].sum(2).amin(1) >= 2)
    assert form.tolist() == [False, False, True, False]
    assert surface.tolist() == [False, False, False, True]


def test_novelty_needs_certain_and_visible_factors():
    factors, _ = truth("pet").sample(400, generator(), wild=1.0)
    visible = everything(factors)
    assert novelty(certain(factors), visible, "pet")[0].float().mean() > 0.8
    unsure = 0.85 * certain(factors) + 0.15 / MAX_VALUES
    assert not novelty(unsure, visible, "pet")[0].any()
    assert not novelty(certain(factors), ~visible, "pet")[0].any()


def test_true_log_prob_of_a_certain_reading_is_the_truth():
    factors, _ = truth("fruit").sample(50, generator(), wild=0.5)
    torch.testing.assert_close(
        true_log_prob(certain(factors), everything(factors), "fruit"),
        truth("fruit").log_prob(factors),
    )


def test_true_log_prob_averages_over_the_posterior_and_sums_out_hidden_factors():
    factors, _ = truth("fruit").sample(1, generator(), wild=0.0)
    visible = everything(factors)
    count = len(truth("fruit").category.factors[0].values)
    posterior = certain(factors)
    posterior[0, 0] = 0
    posterior[0, 0, :count] = 1 / count
    every = factors.repeat(count, 1)
    every[:, 0] = torch.arange(count)
    exact = truth("fruit").log_prob(every)
    assert true_log_prob(posterior, visible, "fruit", draws=4000)[0].item() == pytest.approx(
        exact.mean().item(), abs=0.3
    )
    visible[0, 0] = False
    torch.testing.assert_close(true_log_prob(posterior, visible, "fruit")[0], exact.logsumexp(0))


def test_blurred_distance_grows_with_the_shift():
    x = draw(sample_scenes(4, generator(), category="vehicle"))
    assert blurred_distance(x, x).max() == 0
    assert (blurred_distance(x, x.roll(1, 3)) < blurred_distance(x, x.roll(12, 3))).all()


def test_an_unknown_oracle_is_refused():
    with pytest.raises(InputError, match="name is 'delphi'; expected one of residual, mix"):
        Oracle.load("delphi")


@pytest.mark.parametrize("name", ["read", "judge"])
def test_what_the_net_was_not_made_for_is_refused(name):
    look = getattr(Oracle(Net("residual"), EVEN, {}), name)
    for h, w in ((32, 32), (64, 96), (96, 64), (1, 1)):
        words = f"pictures is of {w} x {h} pixels; expected squares of at least 64 x 64"
        with pytest.raises(InputError, match=words):
            look(torch.rand(1, 3, h, w), "pet")
    with pytest.raises(InputError, match="category 'car' is not in the Menagerie; expected"):
        look(torch.rand(1, 3, 64, 64), "car")


def test_departures_count_certain_structural_factors_outside_each_table():
    mixture = truth("pet")
    factors, component = mixture.sample(60, generator(), wild=0.0)
    structural = torch.tensor([f.structural for f in mixture.category.factors])
    counts = departures(certain(factors), everything(factors), "pet")
    assert torch.equal(counts, mixture.outside(factors)[:, :, structural].sum(2))
    own = counts.gather(1, component[:, None])[:, 0]
    assert own.float().mean() < 0.5 < counts.float().mean()
    assert (departures(0.5 * certain(factors), everything(factors), "pet") == 0).all()
    assert torch.equal(
        counts.amin(1) >= 2, novelty(certain(factors), everything(factors), "pet")[0]
    )

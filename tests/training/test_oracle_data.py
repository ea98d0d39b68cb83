"""Broken pictures, and the losses of the oracles and of CLIP."""

import pytest
import torch

from creativelib.training.clip import Heads, contrastive, same_caption
from creativelib.training.data import visible_factors
from creativelib.training.oracle import (
    break_pictures,
    drawn_factors,
    halves,
    losses,
    replaced,
    settle_statistics,
    shuffle,
)
from creativelib.training.stream import SIDE
from creativelib.world import CATEGORIES, styles
from creativelib.world.oracle import Logits, Net, slots
from creativelib.world.scenes import draw, sample_scenes


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("side", [64, SIDE])
def test_shuffled_patches_are_the_same_pixels_in_another_order(side):
    x = torch.rand(4, 3, side, side, generator=generator())
    y = shuffle(x, generator())
    assert all(not torch.equal(a, b) for a, b in zip(x, y, strict=True))
    assert torch.equal(x.flatten(2).sort(2).values, y.flatten(2).sort(2).values)


@pytest.mark.parametrize("side", [64, SIDE])
def test_patches_are_a_quarter_or_half_of_the_side(side):
    number = torch.arange(side * side).float().view(1, 1, side, side).expand(8, 3, side, side)
    sizes = set()
    for seed in range(12):
        y = shuffle(number, torch.Generator().manual_seed(seed))[:, 0]
        torn = y[..., 1:] - y[..., :-1] != 1  # where neighbors were separated
        places = torn.any(0).any(0).nonzero()[:, 0] + 1
        sizes.add(int(places.min()))
        assert (places % (side // 4) == 0).all()
    assert sizes == {side // 4, side // 2}


@pytest.mark.parametrize("side", [64, SIDE])
def test_halves_take_from_both(side):
    y = halves(torch.zeros(2, 3, side, side), torch.ones(2, 3, side, side), generator())
    assert 0.3 < y.mean() < 0.7


@pytest.mark.parametrize("side", [64, SIDE])
def test_breaking_changes_every_picture(side):
    scenes = sample_scenes(18, generator())
    x = draw(scenes, side)
    change = (break_pictures(x.clone(), scenes.category, generator()) - x).abs()
    assert (change.amax((1, 2, 3)) > 0.1).all()


def test_halves_are_of_two_categories():
    category = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 3])
    x = category[:, None, None, None].expand(9, 3, 64, 64).float()
    broken = break_pictures(x.clone(), category, generator())
    for picture, own in zip(broken[6:], category[6:], strict=True):
        shown = picture.unique()
        assert len(shown) == 2 and own in shown


def test_replaced_scenes_are_the_others_and_the_rest_stays():
    scenes = sample_scenes(6, generator())
    others = sample_scenes(2, torch.Generator().manual_seed(1))
    found = replaced(scenes, slice(-2, None), others)
    for name, value in vars(scenes).items():
        assert torch.equal(getattr(found, name)[:4], value[:4])
        assert torch.equal(getattr(found, name)[4:], getattr(others, name))


def test_statistics_are_those_of_the_batches_alone():
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    net(100 + torch.randn(8, 3, 4, 4, generator=generator()))
    batches = list(torch.randn(2, 8, 3, 4, 4, generator=generator()))
    settle_statistics(net, batches)
    assert not net.training
    torch.testing.assert_close(net[0].running_mean, torch.cat(batches).mean((0, 2, 3)))


def test_hidden_colors_are_not_asked_for():
    scenes = sample_scenes(300, generator())
    target = visible_factors(scenes)
    for i in range(300):
        last = len(CATEGORIES[scenes.category[i]].factors) - 1
        shown = styles.color_visible(scenes.style[i : i + 1]).item()
        assert target[i, last] == (scenes.factors[i, last] if shown else -1)
        assert torch.equal(target[i, :last], scenes.factors[i, :last])


def test_slots_are_a_numbering_of_all_values():
    index = slots()
    total = sum(len(f.values) for c in CATEGORIES for f in c.factors)
    assert torch.equal(index[index < total].sort().values, torch.arange(total))


def test_losses_fall_when_the_answer_is_learned():
    scenes = sample_scenes(8, generator())
    x = draw(scenes, SIDE)
    broken = torch.zeros(8, dtype=torch.bool)
    torch.manual_seed(0)
    net = Net("residual", SIDE).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    first = losses(net, x, scenes, broken)["loss"].item()
    for _ in range(15):
        loss = losses(net, x, scenes, broken)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


def test_contrastive_is_least_for_matching_pairs_and_shares_equal_captions():
    e = torch.eye(4)
    same = torch.eye(4, dtype=torch.bool)
    scale = torch.tensor(20.0)
    matching = contrastive(image=e, text=e, scale=scale, same=same)
    rolled = contrastive(image=e, text=e.roll(1, 0), scale=scale, same=same)
    assert matching < 1e-3 < rolled
    twice = same.clone()
    twice[0, 1] = True
    twice[1, 0] = True
    x = torch.eye(4)[[0, 0, 2, 3]]
    # Rows 0 and 1 have the same picture and caption: the best guess is one half each.
    shared = contrastive(image=x, text=x, scale=torch.tensor(50.0), same=twice)
    torch.testing.assert_close(shared, torch.tensor(2.0).log() / 2)


def test_equal_captions_are_found():
    ids = torch.tensor([[1, 5, 2], [1, 2, 5], [1, 5, 2], [5, 1, 2]])
    assert torch.equal(same_caption(ids), (ids[:, None] == ids[None]).all(2))


def test_heads_read_only_their_own_category():
    scenes = sample_scenes(8, generator())
    heads = Heads(5)
    assert torch.isfinite(heads.loss(torch.randn(8, 5), scenes))


class Sure(Net):
    """A net that predicts every factor's first value with a given strength."""

    def __init__(self, strength):
        torch.nn.Module.__init__(self)
        index = slots()
        first = index[:, :, 0].flatten()
        self.row = torch.zeros(int(index.max()) + 1).index_fill(0, first, strength)[:-1]

    def forward(self, x):
        n = len(x)
        return Logits(
            torch.zeros(n, 8),
            torch.zeros(n),
            self.row.expand(n, -1),
            (torch.zeros(n, 2),),
            torch.zeros(n, 9),
        )


def test_factors_do_not_count_where_a_net_is_sure_of_other_values():
    scenes = sample_scenes(20, generator(), wild=1.0)
    pictures = torch.zeros(20, 3, 64, 64, dtype=torch.uint8)
    factors = drawn_factors(Sure(20.0), pictures, scenes)
    assert torch.equal(factors, torch.where(scenes.factors > 0, -1, scenes.factors))
    assert torch.equal(drawn_factors(Sure(0.0), pictures, scenes), scenes.factors)


def test_captions_are_the_same_where_every_token_is():
    ids = torch.randint(1695, (300, 32), generator=torch.Generator().manual_seed(0))
    ids[7] = ids[200]
    ids[8] = ids[200].roll(1)
    ids[9, -1] = (ids[10, -1] + 1) % 1695
    ids[9, :-1] = ids[10, :-1]
    assert torch.equal(same_caption(ids), (ids[:, None] == ids[None]).all(2))

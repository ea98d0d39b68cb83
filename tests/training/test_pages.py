"""Which pictures may be shown for which, and how the world's pages are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.pictures import in_bytes
from creativelib.semantica.corpus import Corpus, Filter, itself, pairs
from creativelib.training import export, vqmodel
from creativelib.training import pages as pages_module
from creativelib.training.pages import SIZE, draw_some, of_the_world, shown_on
from creativelib.training.semantica import eyes
from creativelib.training.stream import SIDE
from creativelib.world.scenes import draw


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def corpus(page, whole=None):
    n = len(page)
    whole = (
        torch.nn.functional.normalize(torch.randn(n, 4, generator=seeded(0)), dim=1)
        if whole is None
        else whole
    )
    return Corpus(
        torch.zeros(n, 1, 2, 2).half(), torch.zeros(n, 1, 1).half(), whole, torch.tensor(page)
    )


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6).filter(lambda sizes: max(sizes) > 1),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_others_of_the_same_page_are_shown_and_each_once_while_there_are_enough(sizes, m, seed):
    pages = [i for i, size in enumerate(sizes) for _ in range(size)]
    target, shown = pairs(corpus(pages), Filter()).sample(16, m, seeded(seed))
    page = torch.tensor(pages)
    assert shown.shape == (16, m) and (shown >= 0).all()
    assert (page[shown] == page[target][:, None]).all() and (shown != target[:, None]).all()
    for row, of in zip(shown.tolist(), page[target].tolist(), strict=True):
        assert len(set(row)) == min(m, sizes[of] - 1)


def test_every_pair_is_drawn():
    target, shown = pairs(corpus([0, 0, 0, 1, 1]), Filter()).sample(400, 1, seeded(1))
    assert {*zip(target.tolist(), shown[:, 0].tolist(), strict=True)} == {
        (i, j) for group in ([0, 1, 2], [3, 4]) for i in group for j in group if i != j
    }


def test_pairs_outside_the_thresholds_are_left_out():
    angle = torch.tensor(
        [0.0, 0.1, 1.0, 3.0]
    )  # cosines: 0 and 1 nearly alike, 2 between, 3 opposite
    whole = torch.stack([angle.cos(), angle.sin()], 1)
    target, shown = pairs(corpus([0, 0, 0, 0], whole), Filter(0.2, 0.95)).sample(200, 1, seeded(2))
    assert {*zip(target.tolist(), shown[:, 0].tolist(), strict=True)} == {
        (0, 2),
        (2, 0),
        (1, 2),
        (2, 1),
    }


def test_a_filter_that_leaves_nothing_is_refused():
    with pytest.raises(
        InputError, match=r"no two pictures of a page have a cosine within \[0.99, 1\]"
    ):
        pairs(corpus([0, 0, 1, 1], torch.eye(4)), Filter(0.99, 1))


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (-2, 1), (0, 1.5)])
def test_thresholds_out_of_range_are_refused(low, high):
    with pytest.raises(InputError, match="expected -1 <= low < high <= 1"):
        Filter(low, high)


def test_the_control_is_shown_the_picture_itself():
    target, shown = itself(corpus([0, 0, 1])).sample(20, 1, seeded(3))
    assert torch.equal(target, shown[:, 0])


def test_a_page_depends_on_its_number_and_the_seed_alone():
    whole = shown_on(range(0, 5), 7)
    part = shown_on(range(3, 5), 7)
    for name, value in vars(part).items():
        assert torch.equal(getattr(whole, name)[3 * SIZE :], value)
    assert not torch.equal(shown_on(range(3, 5), 8).pose, part.pose)
    assert (whole.category.view(5, SIZE) == whole.category.view(5, SIZE)[:, :1]).all()


def test_pages_are_drawn_in_parts_into_one_file(tmp_path):
    file = tmp_path / "pictures.npy"
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(3 * SIZE, 3, SIDE, SIDE))
    for numbers in (range(2, 3), range(0, 2)):
        assert draw_some(numbers, file, 7, torch.device("cpu"), 5) == len(numbers)
    expected = in_bytes(draw(shown_on(range(3), 7), SIDE)).int()
    assert (torch.from_numpy(np.load(file)).int() - expected).abs().max() <= 1


def test_the_worlds_pages_are_drawn_and_encoded_once(tried, monkeypatch):
    encoder = eyes("clip", torch.device("cpu"))
    movq = export.load_movq()
    first = of_the_world(encoder, movq, n=2)
    assert len(first) == 2 * SIZE and first.page.tolist() == [0] * SIZE + [1] * SIZE
    places = SIDE // vqmodel.SHRINK
    assert first.latents.shape[1:] == (vqmodel.CHANNELS, places, places)
    assert first.tokens.shape[2] == encoder.width
    monkeypatch.setattr(pages_module, "encode", None)
    monkeypatch.setattr(pages_module, "draw_all", None)
    again = of_the_world(encoder, movq, n=2)
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())


def test_another_network_looks_for_itself(tried):
    encoder = eyes("clip", torch.device("cpu"))
    movq = export.load_movq()
    first = of_the_world(encoder, movq, n=1)
    encoder.model.visual_projection.weight.mul_(-1)
    assert torch.allclose(of_the_world(encoder, movq, n=1).pooled, -first.pooled, atol=1e-6)

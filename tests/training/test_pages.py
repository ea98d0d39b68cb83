"""Which pictures may be shown for which."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.training.pages import Corpus, Filter, itself, pairs


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def corpus(page, whole=None):
    n = len(page)
    whole = torch.nn.functional.normalize(torch.randn(n, 4, generator=seeded(0)), dim=1) if whole is None else whole
    return Corpus(torch.zeros(n, 1, 2, 2).half(), torch.zeros(n, 1, 1).half(), whole, torch.tensor(page))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6).filter(lambda sizes: max(sizes) > 1), st.integers(1, 5), st.integers(0, 99))
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
        (i, j) for group in ([0, 1, 2], [3, 4]) for i in group for j in group if i != j}


def test_pairs_outside_the_thresholds_are_left_out():
    angle = torch.tensor([0.0, 0.1, 1.0, 3.0])  # cosines: 0 and 1 nearly alike, 2 between, 3 opposite
    whole = torch.stack([angle.cos(), angle.sin()], 1)
    target, shown = pairs(corpus([0, 0, 0, 0], whole), Filter(0.2, 0.95)).sample(200, 1, seeded(2))
    assert {*zip(target.tolist(), shown[:, 0].tolist(), strict=True)} == {(0, 2), (2, 0), (1, 2), (2, 1)}


def test_a_filter_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match=r"no two pictures of a page have a cosine within \[0.99, 1\]"):
        pairs(corpus([0, 0, 1, 1], torch.eye(4)), Filter(0.99, 1))


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (-2, 1), (0, 1.5)])
def test_thresholds_out_of_range_are_refused(low, high):
    with pytest.raises(InputError, match="allowed are -1 <= low < high <= 1"):
        Filter(low, high)


def test_the_control_is_shown_the_picture_itself():
    target, shown = itself(corpus([0, 0, 1])).sample(20, 1, seeded(3))
    assert torch.equal(target, shown[:, 0])

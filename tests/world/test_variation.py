"""Pages are read: the truth keeps and varies, a copier only keeps, strangers do not keep."""

import math

import pytest
import torch

from creativelib.world.oracle import Oracle
from creativelib.world.pages import pages
from creativelib.world.scenes import draw
from creativelib.world.variation import entropy, variation


@pytest.fixture(scope="module")
def found():
    """Of 24 pages: each page, and its pictures."""
    each = pages(24, torch.Generator().manual_seed(5))
    return [(page, draw(page.scenes)) for page, _ in zip(each, range(24), strict=False)]


@pytest.fixture(scope="module")
def oracle():
    return Oracle.load()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def test_the_pages_own_pictures_keep_what_is_shared_and_vary_the_rest(found, oracle):
    read = [variation(pictures, page, oracle) for page, pictures in found]
    assert mean(v for each in read for v in each.kept.values()) > 0.9
    assert mean(v for each in read for v in each.entropy.values()) > 0.5


def test_copies_keep_and_do_not_vary(found, oracle):
    read = [variation(pictures[:1].expand(8, -1, -1, -1), page, oracle) for page, pictures in found]
    assert mean(v for each in read for v in each.kept.values()) > 0.9
    assert all(v == 0 for each in read for v in each.entropy.values())


def test_pictures_of_another_page_do_not_keep(found, oracle):
    same, other = ([variation(found[(i + step) % len(found)][1], page, oracle) for i, (page, _) in enumerate(found)] for step in (0, 1))
    own, strange = (mean(v for each in read for v in each.kept.values()) for read in (same, other))
    assert strange < own - 0.3


def test_every_factor_is_shared_or_free_and_color_may_be_hidden(found, oracle):
    for page, pictures in found:
        read = variation(pictures, page, oracle)
        assert not set(read.kept) & set(read.entropy)
        named = set(read.kept) | set(read.entropy)
        assert set(page.shared.values) - {"color"} <= set(read.kept) <= named and sum(name.startswith("style: ") for name in named) == 5


def test_entropy_in_nats():
    assert entropy(torch.tensor([3, 3, 3])) == 0
    assert entropy(torch.tensor([0, 1, 2, 3])) == pytest.approx(math.log(4))
    assert entropy(torch.tensor([0, 0, 0, 1])) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))

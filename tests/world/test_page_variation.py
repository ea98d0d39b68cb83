"""Readings of pages: true pictures keep and vary, copies only keep, strangers do not keep."""

import itertools
import math

import pytest
import torch

from creativelib.world.oracle import Oracle
from creativelib.world.page_variation import Variation, balance, entropy, tally, variation
from creativelib.world.scenes import draw
from creativelib.world.webpages import pages


@pytest.fixture(scope="module")
def drawn_pages():
    """Draw 24 pages, each with its pictures."""
    each = itertools.islice(pages(24, torch.Generator().manual_seed(5)), 24)
    return [(page, draw(page.scenes)) for page in each]


@pytest.fixture(scope="module")
def oracle():
    return Oracle.load()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def test_the_pages_own_pictures_keep_what_is_shared_and_vary_the_rest(drawn_pages, oracle):
    read = [variation(pictures, page, oracle) for page, pictures in drawn_pages]
    assert mean(v for each in read for v in each.kept.values()) > 0.9
    assert mean(v for each in read for v in each.entropy.values()) > 0.5


def test_copies_keep_and_do_not_vary(drawn_pages, oracle):
    read = [
        variation(pictures[:1].expand(8, -1, -1, -1), page, oracle)
        for page, pictures in drawn_pages
    ]
    assert mean(v for each in read for v in each.kept.values()) > 0.9
    assert all(v == 0 for each in read for v in each.entropy.values())


def test_pictures_of_another_page_do_not_keep(drawn_pages, oracle):
    def kept(step):
        read = [
            variation(drawn_pages[(i + step) % len(drawn_pages)][1], page, oracle)
            for i, (page, _) in enumerate(drawn_pages)
        ]
        return mean(v for each in read for v in each.kept.values())

    assert kept(step=1) < kept(step=0) - 0.3


def test_every_factor_is_shared_or_free_and_color_may_be_hidden(drawn_pages, oracle):
    for page, pictures in drawn_pages:
        read = variation(pictures, page, oracle)
        assert not set(read.kept) & set(read.entropy)
        named = set(read.kept) | set(read.entropy)
        assert set(page.shared.values) - {"color"} <= set(read.kept) <= named
        assert sum(name.startswith("style: ") for name in named) == 5


def test_entropy_in_nats():
    assert entropy(torch.tensor([3, 3, 3])) == 0
    assert entropy(torch.tensor([0, 1, 2, 3])) == pytest.approx(math.log(4))
    assert entropy(torch.tensor([0, 0, 0, 1])) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )


def test_the_balance_of_pages():
    own = [
        Variation({"ears": 1.0}, {"color": 2.0, "tail": 0.1}),
        Variation({"ears": 1.0, "tail": 0.5}, {"color": 1.0}),
    ]
    drawn = [
        Variation({"ears": 0.4}, {"color": 1.0, "tail": 5.0}),
        Variation({"ears": 0.8, "tail": 0.3}, {}),
    ]
    result = balance(tally(drawn, own))
    # Each shared factor of each page has the same weight.
    assert result.kept == pytest.approx((0.4 + 0.8 + 0.3) / 3)
    # A factor that hardly varies on the page, or could not be read, does not count.
    assert result.entropy == pytest.approx(1.0 / 2.0)
    assert balance(tally(own, own)).entropy == 1


def test_the_truth_balances_best(drawn_pages, oracle):
    own = [variation(pictures[12:], page, oracle) for page, pictures in drawn_pages]
    true = [variation(pictures[:12], page, oracle) for page, pictures in drawn_pages]
    copied = [
        variation(pictures[:1].expand(12, -1, -1, -1), page, oracle)
        for page, pictures in drawn_pages
    ]
    assert balance(tally(true, own)).entropy > 0.9
    assert balance(tally(copied, own)).entropy == 0
    assert min(balance(tally(x, own)).kept for x in (true, copied)) > 0.9

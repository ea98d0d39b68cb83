"""Bootstrap intervals against the normal law, their coverage, and runs nested in categories."""

from math import isnan

import pytest
import torch

from creativelib.errors import InputError
from creativelib.metrics.intervals import (
    FewPicturesWarning,
    bootstrap,
    draw_nested,
    intraclass_correlation,
    warn_if_few,
)
from creativelib.seeds import seeded

# Table 2 of Shrout and Fleiss (1979): six targets, rated by four judges each.
SHROUT_FLEISS = torch.tensor(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=torch.float64,
)


def normal(n, seed):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def nested(groups, runs, seed, between=1.0, within=1.0):
    """Draw (groups, runs) values with known components of variance around a mean of zero."""
    x = normal(groups * (runs + 1), seed).view(groups, runs + 1).double()
    return between**0.5 * x[:, :1] + within**0.5 * x[:, 1:]


def of(table):
    """List the values of a table and the group, which is the row, of each."""
    return table.flatten(), [i for i, row in enumerate(table) for _ in row]


def test_the_means_interval_is_the_normal_laws():
    x = normal(400, 0)
    found = bootstrap(x)
    half = 1.96 * x.std().item() / 20
    assert found.value == pytest.approx(x.mean().item()) and found.n == 400
    assert (found.low, found.high) == pytest.approx(
        (found.value - half, found.value + half), abs=0.15 * half
    )


def test_it_covers_the_truth_as_often_as_it_says():
    intervals = [bootstrap(normal(40, seed), draws=200) for seed in range(200)]
    hits = [interval.low <= 0 <= interval.high for interval in intervals]
    assert 0.89 <= sum(hits) / 200 <= 0.99


def test_more_values_and_a_lower_level_make_it_narrower():
    found = (
        bootstrap(normal(20, 0)),
        bootstrap(normal(200, 0)),
        bootstrap(normal(200, 0), level=0.5),
    )
    width = [each.high - each.low for each in found]
    assert width == sorted(width, reverse=True)


def test_other_statistics_of_rows():
    pairs = torch.stack([torch.full((30,), 2.0), torch.full((30,), 4.0)], 1)
    found = bootstrap(pairs, lambda rows: rows[:, 0].sum() / rows[:, 1].sum())
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def two_stages(groups, draws, seed):
    """Draw groups and then values within each, one by one; return each draw's mean."""
    generator = seeded(seed)

    def one_of(items):
        return items[int(torch.randint(len(items), (), generator=generator))]

    means = []
    for _ in range(draws):
        chosen = [one_of(groups) for _ in groups]
        values = [one_of(group) for group in chosen for _ in group]
        means.append(sum(values) / len(values))
    return torch.tensor(means)


@pytest.mark.parametrize("sizes", [(5, 5, 5, 5), (1, 3, 6, 2, 4)])
def test_two_stages_are_those_of_a_loop(sizes):
    groups = [(3 * normal(1, size) + normal(size, i)).tolist() for i, size in enumerate(sizes)]
    values = torch.tensor([value for group in groups for value in group])
    names = [f"group {i}" for i, group in enumerate(groups) for _ in group]
    rows, drawn = draw_nested(torch.tensor([int(name[-1]) for name in names]), 2000)
    means = (values[rows] * drawn).sum(1) / drawn.sum(1)
    wanted = two_stages(groups, 2000, 1)
    deviation = wanted.std().item()
    assert means.mean().item() == pytest.approx(wanted.mean().item(), abs=0.1 * deviation)
    assert means.std().item() == pytest.approx(deviation, rel=0.08)
    found = bootstrap(values, groups=names, draws=2000)
    ends = wanted.quantile(torch.tensor([0.025, 0.975])).tolist()
    assert (found.low, found.high) == pytest.approx(ends, abs=0.15 * deviation)
    assert found.value == pytest.approx(values.mean().item()) and found.n == sum(sizes)


def test_the_mean_is_that_of_any_other_way_to_say_it():
    values, groups = of(nested(6, 4, seed=0))
    plain = bootstrap(values, groups=groups, draws=200)
    spelled = bootstrap(values, lambda x: x.mean(), groups=groups, draws=200)
    assert (plain.low, plain.high) == pytest.approx((spelled.low, spelled.high))


def test_the_order_of_values_does_not_matter_but_their_groups_do():
    table = nested(8, 5, seed=1, between=4.0)
    values, groups = of(table)
    again = bootstrap(table.T.flatten(), groups=groups[::5] * 5)
    found = bootstrap(values, groups=groups)
    assert (found.low, found.high) == pytest.approx((again.low, again.high))
    alone = bootstrap(values)
    assert found.high - found.low > 1.5 * (alone.high - alone.low)


def test_of_nested_runs_only_two_stages_cover_the_truth_as_often_as_they_say():
    """Eight categories of five runs; half of the variance lies between categories."""
    hits = {"runs alone": 0, "two stages": 0}
    for seed in range(300):
        values, groups = of(nested(8, 5, seed))
        for name, by in (("runs alone", None), ("two stages", groups)):
            found = bootstrap(values, draws=300, groups=by)
            hits[name] += found.low <= 0 <= found.high
    assert hits["runs alone"] < 0.8 * 300 and hits["two stages"] > 0.86 * 300


@pytest.mark.parametrize(
    "values, groups",
    [([0.5], None), ([0.5], ["pet"]), ([0.5, 0.7, 0.9], ["pet"] * 3)],
)
def test_one_run_or_one_category_gives_no_interval(values, groups):
    found = bootstrap(torch.tensor(values), groups=groups)
    assert found.value == pytest.approx(sum(values) / len(values))
    assert isnan(found.low) and isnan(found.high)


def test_one_run_a_category_is_a_bootstrap_of_categories():
    values = normal(200, 0)
    alone = bootstrap(values)
    both = bootstrap(values, groups=range(200))
    width = alone.high - alone.low
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high), abs=0.1 * width)


def test_the_intraclass_correlation_is_that_of_a_textbook():
    """Shrout and Fleiss (1979), table 4: ICC(1, 1) is 0.17, from mean squares 11.24 and 6.26."""
    values, groups = of(SHROUT_FLEISS)
    found = intraclass_correlation(values, groups)
    assert found == pytest.approx((11.24 - 6.26) / (11.24 + 3 * 6.26), abs=5e-4)
    assert round(found, 2) == 0.17


def test_of_pairs_it_is_the_closed_form():
    """Of pairs with deviations d around their means, B and W are sums of squares of both."""
    means = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    d = torch.tensor([0.5, 0.1, 0.2], dtype=torch.float64)
    between = 2 * ((means - 2) ** 2).sum() / 2
    within = 2 * (d**2).sum() / 3
    found = intraclass_correlation(*of(torch.stack([means - d, means + d], 1)))
    assert found == pytest.approx(((between - within) / (between + within)).item())


@pytest.mark.parametrize("sizes", [(5,) * 2000, (2, 4, 9) * 700])
def test_it_finds_known_components_of_variance(sizes):
    table = nested(len(sizes), max(sizes), seed=3, between=0.3, within=0.7)
    kept = [row[:size] for row, size in zip(table, sizes, strict=True)]
    groups = [i for i, row in enumerate(kept) for _ in row]
    assert intraclass_correlation(torch.cat(kept), groups) == pytest.approx(0.3, abs=0.03)


def test_equal_runs_are_wholly_alike_and_alternating_ones_less_than_by_chance():
    same = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    assert intraclass_correlation(*of(same)) == pytest.approx(1)
    assert intraclass_correlation(*of(same.T.contiguous())) == pytest.approx(-1)
    assert isnan(intraclass_correlation(*of(torch.ones(2, 2))))


def test_bad_groups():
    with pytest.raises(InputError, match="groups has 2 entries for 3 values; expected one each"):
        bootstrap(torch.zeros(3), groups=["pet", "pet"])
    for groups in (["pet"] * 3, ["pet", "plant", "fruit"]):
        with pytest.raises(InputError, match="expected at least two groups, and more than one"):
            intraclass_correlation(torch.zeros(3), groups)


def test_bad_input():
    with pytest.raises(InputError, match="values is empty"):
        bootstrap(torch.zeros(0))
    with pytest.raises(InputError, match="level is 1"):
        bootstrap(torch.zeros(3), level=1.0)


def test_few_pictures_are_warned_of():
    with pytest.warns(FewPicturesWarning, match="FID of 16 pictures: below 96"):
        warn_if_few("FID", 16, 96)
    warn_if_few("FID", 96, 96)

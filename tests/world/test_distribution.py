"""The truth against enumeration: it sums to one, grades what is violated, and conditions and samples as it should."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from creativelib.world import CATEGORIES, truth
from creativelib.world.distribution import LEAK, WILD, Given, Truth
from creativelib.world.factors import Factor
from creativelib.world.plan import Category

NAMES = [c.name for c in CATEGORIES]


def combinations(category):
    """All combinations of a category's factors, some at a time."""
    first, second, *rest = (torch.arange(len(f.values)) for f in category.factors)
    tail = torch.cartesian_prod(*rest)
    for a, b in itertools.product(first, second):
        yield torch.cat([torch.stack([a, b]).expand(len(tail), 2), tail], 1)


def total(log_probs):
    return math.fsum(part.exp().sum().item() for part in log_probs)


@st.composite
def tables(draw):
    """Random species over two or three factors, so small that every combination can be listed."""
    sizes = draw(st.lists(st.integers(2, 3), min_size=2, max_size=3))
    row = st.tuples(*(st.lists(st.floats(0.1, 1), min_size=size, max_size=size) for size in sizes))
    return draw(st.lists(row, min_size=1, max_size=3))


def make(rows):
    factors = tuple(
        Factor(f"f{j}", {f"v{v}": f"a v{v} f{j}" for v in range(len(shares))})
        for j, shares in enumerate(rows[0])
    )
    species = {
        f"s{i}": {
            f.name: {v: x / math.fsum(shares) for v, x in zip(f.values, shares, strict=True)}
            for f, shares in zip(factors, row, strict=True)
        }
        for i, row in enumerate(rows)
    }
    return Category("toy", factors, species, lambda canvas: None)


def formula(category, values, species=None):
    """p(factors | category), or one species' part of it, as the module's docstring writes it."""
    uniform = math.prod(1 / len(f.values) for f in category.factors)
    parts = {
        name: math.prod(
            (1 - LEAK) * table[f.name].get(value, 0) + LEAK / len(f.values)
            for f, value in zip(category.factors, values, strict=True)
        )
        for name, table in category.species.items()
    }
    if species is not None:
        return parts[species]
    return (1 - WILD) * math.fsum(parts.values()) / len(parts) + WILD * uniform


@pytest.mark.parametrize("name", NAMES)
def test_sums_to_one_over_all_combinations(name):
    known = truth(name)
    assert total(known.log_prob(part) for part in combinations(known.category)) == pytest.approx(
        1, abs=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_given_values_it_sums_to_one_over_what_fits(name):
    known = truth(name)
    last = known.category.factors[-1]
    other = known.category.factors[2]
    caption = Given(
        name, values={last.name: list(last.values)[1], other.name: list(other.values)[-1]}
    )
    assert total(
        known.log_prob(part, caption) for part in combinations(known.category)
    ) == pytest.approx(1, abs=1e-9)


@given(tables())
@settings(max_examples=30, deadline=None)
def test_equals_the_formula(rows):
    toy = make(rows)
    known = Truth.of(toy)
    listed = list(itertools.product(*(range(len(f.values)) for f in toy.factors)))
    values = [[list(f.values)[v] for f, v in zip(toy.factors, row, strict=True)] for row in listed]
    p = torch.tensor([formula(toy, row) for row in values], dtype=torch.float64)
    assert torch.allclose(known.log_prob(torch.tensor(listed)).exp(), p, rtol=0, atol=1e-12)


@given(tables(), st.data())
@settings(max_examples=30, deadline=None)
def test_conditions_as_enumeration_does(rows, data):
    toy = make(rows)
    known = Truth.of(toy)
    listed = torch.tensor(list(itertools.product(*(range(len(f.values)) for f in toy.factors))))
    values = [
        [list(f.values)[v] for f, v in zip(toy.factors, row, strict=True)]
        for row in listed.tolist()
    ]
    said = data.draw(st.lists(st.sampled_from([f.name for f in toy.factors]), unique=True))
    species = data.draw(st.sampled_from([None, *toy.species]))
    wanted = {name: data.draw(st.sampled_from(list(toy.factor(name).values))) for name in said}
    p = torch.tensor([formula(toy, row, species) for row in values], dtype=torch.float64)
    fits = torch.tensor(
        [
            all(row[[f.name for f in toy.factors].index(name)] == v for name, v in wanted.items())
            for row in values
        ]
    )
    p = torch.where(fits, p, 0)
    caption = Given("toy", species, wanted)
    assert torch.allclose(known.log_prob(listed, caption).exp(), p / p.sum(), rtol=0, atol=1e-12)
    drawn, component = known.sample(200, torch.Generator().manual_seed(0), given=caption)
    assert bool(known.log_prob(drawn, caption).isfinite().all())
    assert species is None or component.unique().tolist() == [list(toy.species).index(species)]


@pytest.mark.parametrize("name", NAMES)
def test_each_violated_factor_costs_nats(name):
    """Exactly so within a species, on average over all species."""
    known = truth(name)
    for i, species in enumerate(known.category.species):
        typical = known.allowed[i].long().argmax(1).tolist()
        outside = [
            next((v for v in range(len(f.values)) if not known.allowed[i, j, v]), typical[j])
            for j, f in enumerate(known.category.factors)
        ]
        steps = torch.tensor([outside[:k] + typical[k:] for k in range(len(typical) + 1)])
        cost = -known.log_prob(steps, Given(name, species)).diff()
        tables = known.log_tables[i]
        expected = torch.stack(
            [
                tables[j, a] - tables[j, b]
                for j, (a, b) in enumerate(zip(typical, outside, strict=True))
            ]
        )
        assert torch.allclose(cost, expected, atol=1e-9)
        assert all(c > 2.5 for c, a, b in zip(cost, typical, outside, strict=True) if a != b)
    factors, _ = known.sample(6000, torch.Generator().manual_seed(0), wild=0.5)
    violated = known.outside(factors).sum(2).amin(1)
    log_prob = known.log_prob(factors)
    means = torch.stack([log_prob[violated == k].mean() for k in range(4)])
    assert bool((means.diff() < -0.5).all())


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_the_probabilities(name):
    known = truth(name)
    n = 8000
    factors, component = known.sample(n, torch.Generator().manual_seed(1))
    weights = known.log_weights.exp()
    assert (
        chisquare(component.bincount(minlength=len(weights)), (n * weights).tolist()).pvalue > 1e-3
    )
    for j, factor in enumerate(known.category.factors):
        marginal = (weights[:, None] * known.log_tables[:, j, : len(factor.values)].exp()).sum(0)
        assert (
            chisquare(
                factors[:, j].bincount(minlength=len(factor.values)), (n * marginal).tolist()
            ).pvalue
            > 1e-3
        )
    _, component = known.sample(n, torch.Generator().manual_seed(1), wild=0.4)
    assert (component == len(weights) - 1).double().mean() == pytest.approx(0.4, abs=0.02)


def test_joint_samples_follow_the_probabilities():
    toy = Category(
        "toy",
        (
            Factor("a", {"x": "an x", "y": "a y"}),
            Factor("b", {"x": "an x", "y": "a y", "z": "a z"}),
        ),
        {
            "one": {"a": "x", "b": {"y": 0.3, "z": 0.7}},
            "two": {"a": {"x": 0.5, "y": 0.5}, "b": "x"},
        },
        lambda canvas: None,
    )
    known = Truth.of(toy)
    n = 50_000
    factors, _ = known.sample(n, torch.Generator().manual_seed(0))
    listed = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    expected = (n * known.log_prob(listed).exp()).tolist()
    assert (
        chisquare((factors[:, 0] * 3 + factors[:, 1]).bincount(minlength=6), expected).pvalue > 1e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_posterior_names_the_species(name):
    known = truth(name)
    factors, component = known.sample(2000, torch.Generator().manual_seed(2))
    posterior = known.posterior(factors)
    assert torch.allclose(posterior.sum(1), torch.ones(2000, dtype=torch.float64))
    assert torch.allclose(
        posterior.log() + known.log_prob(factors)[:, None], known.joint(factors), atol=1e-9
    )
    assert posterior.gather(1, component[:, None]).mean() > 0.9
    wild, _ = known.sample(2000, torch.Generator().manual_seed(3), wild=1.0)
    assert known.posterior(wild)[:, -1].mean() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_outside_is_read_off_the_tables(name):
    known = truth(name)
    factors, _ = known.sample(40, torch.Generator().manual_seed(4), wild=0.5)
    for row, outside in zip(factors.tolist(), known.outside(factors), strict=True):
        for i, table in enumerate(known.category.species.values()):
            for j, factor in enumerate(known.category.factors):
                entry = table[factor.name]
                assert outside[i, j] == (
                    list(factor.values)[row[j]]
                    not in ([entry] if isinstance(entry, str) else entry)
                )


@pytest.mark.parametrize(
    "said", [{"species": "unicorn"}, {"values": {"horn": "one"}}, {"values": {"ears": "square"}}]
)
def test_what_the_category_does_not_have_is_refused(said):
    with pytest.raises(ValueError, match="is not in"):
        truth("pet").log_prob(torch.zeros(1, 8, dtype=torch.long), Given("pet", **said))

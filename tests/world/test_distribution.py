"""The truth against enumeration: its sum, conditionals, samples and costs of violations."""

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
    """Yield all combinations of a category's factors, some at a time."""
    first, second, *rest = (torch.arange(len(f.values)) for f in category.factors)
    tail = torch.cartesian_prod(*rest)
    for a, b in itertools.product(first, second):
        yield torch.cat([torch.stack([a, b]).expand(len(tail), 2), tail], 1)


def total(log_probs):
    return math.fsum(part.exp().sum().item() for part in log_probs)


@st.composite
def tables(draw):
    """Draw random species over two or three factors, few enough to list every combination."""
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
    return Category(name="toy", factors=factors, species=species, draw=lambda canvas: None)


def formula(category, values, species=None):
    """Compute p(factors | category), or one species' part of it, as the module's docstring does."""
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
    mixture = truth(name)
    assert total(
        mixture.log_prob(part) for part in combinations(mixture.category)
    ) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_given_values_it_sums_to_one_over_what_fits(name):
    mixture = truth(name)
    last = mixture.category.factors[-1]
    other = mixture.category.factors[2]
    caption = Given(
        name, values={last.name: list(last.values)[1], other.name: list(other.values)[-1]}
    )
    assert total(
        mixture.log_prob(part, caption) for part in combinations(mixture.category)
    ) == pytest.approx(1, abs=1e-9)


@given(tables())
@settings(max_examples=30, deadline=None)
def test_equals_the_formula(rows):
    toy = make(rows)
    mixture = Truth.of(toy)
    listed = list(itertools.product(*(range(len(f.values)) for f in toy.factors)))
    values = [[list(f.values)[v] for f, v in zip(toy.factors, row, strict=True)] for row in listed]
    p = torch.tensor([formula(toy, row) for row in values], dtype=torch.float64)
    assert torch.allclose(mixture.log_prob(torch.tensor(listed)).exp(), p, rtol=0, atol=1e-12)


@given(tables(), st.data())
@settings(max_examples=30, deadline=None)
def test_conditions_as_enumeration_does(rows, data):
    toy = make(rows)
    mixture = Truth.of(toy)
    listed = torch.tensor(list(itertools.product(*(range(len(f.values)) for f in toy.factors))))
    values = [
        [list(f.values)[v] for f, v in zip(toy.factors, row, strict=True)]
        for row in listed.tolist()
    ]
    stated = data.draw(st.lists(st.sampled_from([f.name for f in toy.factors]), unique=True))
    species = data.draw(st.sampled_from([None, *toy.species]))
    wanted = {name: data.draw(st.sampled_from(list(toy.factor(name).values))) for name in stated}
    p = torch.tensor([formula(toy, row, species) for row in values], dtype=torch.float64)
    fits = torch.tensor(
        [
            all(row[[f.name for f in toy.factors].index(name)] == v for name, v in wanted.items())
            for row in values
        ]
    )
    p = torch.where(fits, p, 0)
    caption = Given("toy", species, wanted)
    assert torch.allclose(mixture.log_prob(listed, caption).exp(), p / p.sum(), rtol=0, atol=1e-12)
    drawn, component = mixture.sample(200, torch.Generator().manual_seed(0), given=caption)
    assert bool(mixture.log_prob(drawn, caption).isfinite().all())
    assert species is None or component.unique().tolist() == [list(toy.species).index(species)]


@pytest.mark.parametrize("name", NAMES)
def test_each_violated_factor_costs_nats(name):
    """Test each species exactly, and all species on average."""
    mixture = truth(name)
    for i, species in enumerate(mixture.category.species):
        typical = mixture.allowed[i].long().argmax(1).tolist()
        outside = [
            next((v for v in range(len(f.values)) if not mixture.allowed[i, j, v]), typical[j])
            for j, f in enumerate(mixture.category.factors)
        ]
        steps = torch.tensor([outside[:k] + typical[k:] for k in range(len(typical) + 1)])
        cost = -mixture.log_prob(steps, Given(name, species)).diff()
        tables = mixture.log_tables[i]
        expected = torch.stack(
            [
                tables[j, a] - tables[j, b]
                for j, (a, b) in enumerate(zip(typical, outside, strict=True))
            ]
        )
        assert torch.allclose(cost, expected, atol=1e-9)
        assert all(c > 2.5 for c, a, b in zip(cost, typical, outside, strict=True) if a != b)
    factors, _ = mixture.sample(6000, torch.Generator().manual_seed(0), wild=0.5)
    violated = mixture.outside(factors).sum(2).amin(1)
    log_prob = mixture.log_prob(factors)
    means = torch.stack([log_prob[violated == k].mean() for k in range(4)])
    assert bool((means.diff() < -0.5).all())


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_the_probabilities(name):
    mixture = truth(name)
    n = 8000
    factors, component = mixture.sample(n, torch.Generator().manual_seed(1))
    weights = mixture.log_weights.exp()
    assert (
        chisquare(component.bincount(minlength=len(weights)), (n * weights).tolist()).pvalue > 1e-3
    )
    for j, factor in enumerate(mixture.category.factors):
        marginal = (weights[:, None] * mixture.log_tables[:, j, : len(factor.values)].exp()).sum(0)
        assert (
            chisquare(
                factors[:, j].bincount(minlength=len(factor.values)), (n * marginal).tolist()
            ).pvalue
            > 1e-3
        )
    _, component = mixture.sample(n, torch.Generator().manual_seed(1), wild=0.4)
    assert (component == len(weights) - 1).double().mean() == pytest.approx(0.4, abs=0.02)


def test_joint_samples_follow_the_probabilities():
    toy = Category(
        name="toy",
        factors=(
            Factor("a", {"x": "an x", "y": "a y"}),
            Factor("b", {"x": "an x", "y": "a y", "z": "a z"}),
        ),
        species={
            "one": {"a": "x", "b": {"y": 0.3, "z": 0.7}},
            "two": {"a": {"x": 0.5, "y": 0.5}, "b": "x"},
        },
        draw=lambda canvas: None,
    )
    mixture = Truth.of(toy)
    n = 50_000
    factors, _ = mixture.sample(n, torch.Generator().manual_seed(0))
    listed = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    expected = (n * mixture.log_prob(listed).exp()).tolist()
    assert (
        chisquare((factors[:, 0] * 3 + factors[:, 1]).bincount(minlength=6), expected).pvalue > 1e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_posterior_names_the_species(name):
    mixture = truth(name)
    factors, component = mixture.sample(2000, torch.Generator().manual_seed(2))
    posterior = mixture.posterior(factors)
    assert torch.allclose(posterior.sum(1), torch.ones(2000, dtype=torch.float64))
    assert torch.allclose(
        posterior.log() + mixture.log_prob(factors)[:, None], mixture.joint(factors), atol=1e-9
    )
    assert posterior.gather(1, component[:, None]).mean() > 0.9
    wild, _ = mixture.sample(2000, torch.Generator().manual_seed(3), wild=1.0)
    assert mixture.posterior(wild)[:, -1].mean() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_outside_is_read_off_the_tables(name):
    mixture = truth(name)
    factors, _ = mixture.sample(40, torch.Generator().manual_seed(4), wild=0.5)
    for row, outside in zip(factors.tolist(), mixture.outside(factors), strict=True):
        for i, table in enumerate(mixture.category.species.values()):
            for j, factor in enumerate(mixture.category.factors):
                entry = table[factor.name]
                assert outside[i, j] == (
                    list(factor.values)[row[j]]
                    not in ([entry] if isinstance(entry, str) else entry)
                )


@pytest.mark.parametrize(
    "facts", [{"species": "unicorn"}, {"values": {"horn": "one"}}, {"values": {"ears": "square"}}]
)
def test_unknown_species_factors_and_values_are_refused(facts):
    with pytest.raises(ValueError, match="expected one of"):
        truth("pet").log_prob(torch.zeros(1, 8, dtype=torch.long), Given("pet", **facts))

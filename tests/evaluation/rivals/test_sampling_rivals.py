"""Rivals that sample otherwise: CADS, particle guidance, SPELL, ProCreate and group inference."""

from dataclasses import replace
from functools import partial
from itertools import combinations

import pytest
import torch
from torch.nn.functional import normalize

from creativelib.errors import InputError
from creativelib.evaluation.rivals.cads import add_noise, condition_annealing
from creativelib.evaluation.rivals.groups import best_set, group_inference
from creativelib.evaluation.rivals.particles import (
    particle_guidance,
    potential_gradient,
    repellency,
    sparse_repellency,
    squared_widths,
)
from creativelib.evaluation.rivals.procreate import likeness_gradient, propulsion
from creativelib.metrics.diversity import total_variance
from creativelib.unclip.conditions import PartialStart
from creativelib.unclip.prior import PriorSampling

FIVE = PriorSampling(steps=5)
METHODS = (condition_annealing, particle_guidance, sparse_repellency, propulsion, group_inference)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def plain(pipe, word, n, *, generator, sampling=FIVE):
    cond = pipe.encode_text([f"a photo of a {word}"])
    return pipe.sample_prior(cond, n, noise=generator, sampling=sampling)[0]


def spread(z):
    return torch.pdist(z).mean().item()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_each_draws_n_and_the_same_from_the_same_noise(pipe, method, n):
    z = method(pipe, "pet", n, generator=seeded(1))
    assert z.shape == (n, 16) and z.isfinite().all() and not z.requires_grad
    assert torch.equal(z, method(pipe, "pet", n, generator=seeded(1)))
    assert not torch.equal(z, method(pipe, "pet", n, generator=seeded(2)))


@pytest.mark.parametrize(
    "method",
    [
        partial(condition_annealing, scale=0.0),
        partial(particle_guidance, strength=0.0),
        partial(sparse_repellency, radius=0.0),
        partial(propulsion, strength=0.0),
        partial(group_inference, candidates=1),
    ],
)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_without_its_strength_each_is_plain_sampling(pipe, method, guidance):
    sampling = PriorSampling(guidance=guidance, steps=5)
    drawn = method(pipe, "pet", 6, generator=seeded(1), sampling=sampling)
    assert torch.equal(drawn, plain(pipe, "pet", 6, generator=seeded(1), sampling=sampling))


@pytest.mark.parametrize(
    "method, settings, message",
    [
        (condition_annealing, {"scale": -0.1}, r"scale is -0.1; expected a number in \[0, "),
        (condition_annealing, {"clear": 1.5}, r"clear is 1.5; expected a number in \[0, 1\]"),
        (condition_annealing, {"blind": torch.nan}, r"blind is nan; expected a number in \[0, 1\]"),
        (
            condition_annealing,
            {"clear": 0.9, "blind": 0.6},
            "clear is 0.9 with blind 0.6; expected",
        ),
        (condition_annealing, {"rescaled": 2}, r"rescaled is 2; expected a number in \[0, 1\]"),
        (particle_guidance, {"strength": -1}, r"strength is -1; expected a number in \[0, "),
        (sparse_repellency, {"radius": -0.5}, r"radius is -0.5; expected a number in \[0, "),
        (propulsion, {"strength": torch.inf}, r"strength is inf; expected a number in \[0, "),
        (propulsion, {"references": 0}, "references is 0; expected 1 or more"),
        (group_inference, {"candidates": 0}, "candidates is 0; expected 1 or more"),
        (group_inference, {"diversity": -1}, r"diversity is -1; expected a number in \[0, "),
    ],
)
def test_wrong_settings_are_refused(pipe, method, settings, message):
    with pytest.raises(InputError, match=message):
        method(pipe, "pet", 2, generator=seeded(), **settings)


@pytest.mark.parametrize("method", METHODS)
def test_a_word_and_a_number_that_are_none_are_refused(pipe, method):
    with pytest.raises(InputError, match="n is 0; expected 1 or more"):
        method(pipe, "pet", 0, generator=seeded())
    with pytest.raises(InputError, match="word is ''"):
        method(pipe, "", 2, generator=seeded())


def test_noise_takes_the_place_of_a_condition_and_keeps_its_scale():
    values = 3 + 2 * torch.randn(4, 5, 40, generator=seeded())
    own = partial(add_noise, values, scale=0.5, generator=seeded(1))
    for gamma in (0.0, 0.3, 0.9):
        whole = own(gamma, rescaled=1.0)
        assert torch.allclose(whole.mean((1, 2)), values.mean((1, 2)), atol=1e-4)
        assert torch.allclose(whole.std((1, 2)), values.std((1, 2)), rtol=1e-4)

    def kept(gamma):
        pair = torch.stack([own(gamma, rescaled=0.5).flatten(), values.flatten()])
        return torch.corrcoef(pair)[0, 1].item()

    assert abs(kept(0.0)) < 0.1 < kept(0.1) < kept(0.5) < kept(0.95) < kept(1.0)
    assert torch.allclose(own(1.0, rescaled=0.7), values, atol=1e-5)
    # The paper's equation without rescaling.
    noise = torch.randn(4, 5, 40, generator=seeded(7))
    std = values.std((1, 2), keepdim=True)
    expected = 0.3**0.5 * values + 0.5 * 0.7**0.5 * std * noise
    found = add_noise(values, 0.3, scale=0.5, rescaled=0.0, generator=seeded(7))
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_condition_of_each_step_is_the_networks(pipe):
    """A condition that is another's at every step draws what the other one draws."""

    def turned(cond):
        return replace(cond, pooled=-cond.pooled, tokens=-cond.tokens)

    cond = pipe.encode_text(["a photo of a pet", "a photo of a vehicle"])
    asked = []

    def condition_fn(cond, progress):
        asked.append(progress)
        return turned(cond)

    changed = pipe.sample_prior(cond, 3, noise=seeded(1), condition_fn=condition_fn)
    assert torch.equal(changed, pipe.sample_prior(turned(cond), 3, noise=seeded(1)))
    assert not torch.equal(changed, pipe.sample_prior(cond, 3, noise=seeded(1)))
    assert asked == [0, 0.25, 0.5, 0.75, 1]


def test_an_annealed_condition_raises_the_variance(menagerie):
    drawn = condition_annealing(menagerie, "pet", 64, generator=seeded(1), sampling=FIVE)
    usual = plain(menagerie, "pet", 64, generator=seeded(1))
    assert total_variance(drawn) > 1.02 * total_variance(usual)


def test_the_gradient_of_the_potential_is_that_of_finite_differences():
    z = torch.randn(2, 5, 4, generator=seeded(), dtype=torch.float64)
    squared = squared_widths(z)

    def potential(sample, k, i):
        others = torch.cat([z[k, :i], z[k, i + 1 :]])
        return -(-(sample - others).square().sum(1) / squared[k, i]).exp().sum()

    found = potential_gradient(z, squared)
    step = 1e-6 * torch.eye(4, dtype=torch.float64)
    for k in range(2):
        for i in range(5):
            for axis in range(4):
                up = potential(z[k, i] + step[axis], k, i)
                down = potential(z[k, i] - step[axis], k, i)
                assert found[k, i, axis].item() == pytest.approx(
                    (up - down).item() / 2e-6, abs=1e-8
                )


def test_kernels_are_as_wide_as_the_median_distance():
    z = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]])
    # Distances: 1 3 7, 1 2 6, 3 2 4, 7 6 4.
    expected = torch.tensor([[9.0, 4.0, 9.0, 36.0]]) / torch.tensor(4.0).log()
    assert torch.allclose(squared_widths(z), expected)
    same = torch.ones(1, 3, 2)
    assert (potential_gradient(same, squared_widths(same)) == 0).all()


@pytest.mark.parametrize("method", [particle_guidance, sparse_repellency])
def test_samples_that_repel_each_other_lie_further_apart(pipe, method):
    setting = "strength" if method is particle_guidance else "radius"
    strengths = (0.1, 1.0) if method is particle_guidance else (0.02, 0.2)
    distances = [spread(plain(pipe, "pet", 8, generator=seeded(1)))]
    for strength in strengths:
        z = method(pipe, "pet", 8, generator=seeded(1), sampling=FIVE, **{setting: strength})
        distances.append(spread(z))
    assert distances[0] < distances[1] < distances[2]


def test_two_that_are_too_near_move_to_the_radius_and_others_stay():
    z = torch.tensor([[[10.0, 0.0], [10.0, 1.0], [0.0, 10.0]]])
    reach = 0.2 * z.norm(dim=2).mean().item()
    assert 1 < reach < 3
    moved = z + repellency(z, 0.2)
    # Each of the two moves from the other as far as to the radius, so that they end further away.
    expected = z + torch.tensor([[[0.0, 1 - reach], [0.0, reach - 1], [0.0, 0.0]]])
    assert torch.allclose(moved, expected, atol=1e-5)


def test_the_gradient_of_likeness_is_autograds():
    z = torch.randn(2, 3, 5, generator=seeded(), dtype=torch.float64).requires_grad_()
    seen = torch.randn(4, 5, generator=seeded(1), dtype=torch.float64)
    cosines = normalize(z, dim=-1) @ normalize(seen, dim=-1).T
    (expected,) = torch.autograd.grad(cosines.amax(-1).sum(), z)
    assert torch.allclose(likeness_gradient(z.detach(), seen), expected)


def test_what_is_led_away_from_references_is_further_from_them(pipe):
    """Its references are those that the generator draws after the samples' own noise."""
    generator = seeded(1)
    usual = plain(pipe, "pet", 8, generator=generator)
    seen = plain(pipe, "pet", 16, generator=generator)

    def likeness(z):
        return (normalize(z, dim=-1) @ normalize(seen, dim=-1).T).amax(1).mean().item()

    drawn = [
        propulsion(pipe, "pet", 8, generator=seeded(1), strength=s, references=16, sampling=FIVE)
        for s in (0.0, 0.3, 1.0)
    ]
    assert torch.equal(drawn[0], usual)
    found = [likeness(z) for z in drawn]
    assert found[0] > found[1] > found[2]


def worth(quality, pairs, chosen):
    chosen = list(chosen)
    both = [pairs[i, j] for i, j in combinations(chosen, 2)]
    return float(quality[chosen].sum() + sum(both))


def test_the_set_is_the_best_one_of_all():
    """Of 60 small problems nine in ten are solved exactly, none falls short by 4 %."""
    exact = 0
    for seed in range(60):
        m = 5 + seed % 5
        n = 2 + seed % 3
        z = normalize(torch.randn(m, 3, generator=seeded(seed)), dim=-1)
        quality = torch.rand(m, generator=seeded(seed + 100))
        pairs = (0.5 + seed % 3) * (1 - z @ z.T)
        chosen = best_set(quality, pairs, n).tolist()
        assert len(set(chosen)) == n and chosen == sorted(chosen)
        best = max(worth(quality, pairs, some) for some in combinations(range(m), n))
        reached = worth(quality, pairs, chosen)
        assert reached > 0.96 * best
        exact += reached > best - 1e-5
    assert exact >= 54


def test_a_set_of_quality_alone_is_the_best_by_rank():
    quality = torch.tensor([0.1, 0.9, 0.5, 0.7])
    assert best_set(quality, torch.zeros(4, 4), 2).tolist() == [1, 3]
    assert best_set(quality, torch.zeros(4, 4), 4).tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="n is 5; expected 1 to the number of candidates, 4"):
        best_set(quality, torch.zeros(4, 4), 5)


def test_a_group_has_a_higher_objective(menagerie):
    text = normalize(menagerie.encode_text(["a photo of a pet"]).pooled, dim=-1)[0]

    def objective(z, weight):
        rows = normalize(z, dim=-1)
        return worth(rows @ text, weight * (1 - rows @ rows.T), range(len(z)))

    usual = plain(menagerie, "pet", 8, generator=seeded(1))
    for weight in (0.0, 1.5):
        drawn = group_inference(
            menagerie, "pet", 8, generator=seeded(1), diversity=weight, sampling=FIVE
        )
        assert objective(drawn, weight) > objective(usual, weight)


def test_what_is_dropped_costs_nothing_and_what_stays_goes_on(pipe):
    """A sample keeps its own noise up to where it is kept, and is predicted alone from there."""
    cond = pipe.encode_text(["a photo of a pet"] * 2)
    sizes = []

    def resample_fn(x0_pred, progress):
        sizes.append(x0_pred.shape[1])
        kept = {0.25: [5, 1, 3], 0.75: [2]}.get(progress, list(range(x0_pred.shape[1])))
        return torch.tensor([kept] * len(x0_pred))

    z = pipe.sample_prior(cond, 6, noise=[seeded(1), seeded(2)], resample_fn=resample_fn)
    assert sizes == [6, 6, 3, 3, 1] and z.shape == (2, 1, 16)
    # Of one condition alone it is the same.
    alone = pipe.encode_text(["a photo of a pet"])
    own = pipe.sample_prior(alone, 6, noise=[seeded(2)], resample_fn=resample_fn)
    assert torch.allclose(z[1:], own, atol=1e-5)
    # And with a start.
    start = PartialStart(plain(pipe, "pet", 6, generator=seeded())[None], 0.8)
    partly = pipe.sample_prior(
        alone, 6, noise=seeded(3), start=start, resample_fn=lambda z, done: torch.tensor([[4]]) * 0
    )
    assert partly.shape == (1, 1, 16) and partly.isfinite().all()

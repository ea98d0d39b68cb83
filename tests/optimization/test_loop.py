"""The loop: its direction, its independence of the batch, how it resumes and how it ends."""

import itertools
from dataclasses import replace

import pytest
import torch

from creativelib.concept import KINDS, TokenConcept, init
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.optimization.loop import Diverged, optimize
from creativelib.optimization.objectives import Rarity, Terms
from creativelib.unclip.prior import PriorSampling


@pytest.fixture(scope="module")
def density(pipe):
    return GaussianDensity.fit(
        pipe.sample_prior(
            pipe.encode_text(["a photo of a pet"]), 300, noise=torch.Generator().manual_seed(0)
        )
    )


def start(pipe, k=1):
    return TokenConcept.init(pipe, "pet", k=k, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sign", [1, -1])
def test_concepts_get_rarer_with_the_right_sign_only(pipe, density, sign):
    halfway = replace(
        start(pipe), vectors=(start(pipe).vectors + TokenConcept.init(pipe, "plant").vectors) / 2
    )
    steps = optimize(pipe, halfway, sign * Rarity(density), steps=25, lr=0.02, n=8)
    surprisal = [density.surprisal(step.z).mean().item() for step in steps]
    assert (sum(surprisal[-5:]) - sum(surprisal[:5])) * sign > 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_concept_moves_as_it_would_alone(pipe, density, kind):
    def begin(rows):
        three = init(pipe, kind, "pet", k=3, generator=torch.Generator().manual_seed(0))
        single = init(pipe, kind, "pet", k=len(rows), generator=torch.Generator().manual_seed(0))
        return single.with_tensors({name: value[rows] for name, value in three.tensors.items()})

    settings = {"steps": 4, "n": 2, "sampling": PriorSampling(guidance=2.0), "lr": 0.002}
    together = list(optimize(pipe, begin([0, 1, 2]), Rarity(density), seed=5, **settings))
    for i in range(3):
        alone = list(optimize(pipe, begin([i]), Rarity(density), seed=5 + i, **settings))
        for name, value in alone[-1].concept.tensors.items():
            assert torch.allclose(
                together[-1].concept.tensors[name][i], value[0], rtol=1e-3, atol=1e-4
            ), name
        assert torch.allclose(together[-1].z[i], alone[-1].z[0], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gets_rarer(pipe, kind):
    concept = init(pipe, kind, "pet", k=2, generator=torch.Generator().manual_seed(0))
    # The fresh concepts' own samples, widened: those of a random prior are so alike that every step
    # would be an explosion.
    z = concept.sample(
        pipe, "a photo of a {}", 200, noise=torch.Generator().manual_seed(1)
    ).flatten(0, 1)
    wide = GaussianDensity.fit(z + torch.randn(z.shape, generator=torch.Generator().manual_seed(2)))
    steps = list(optimize(pipe, concept, Rarity(wide), steps=20, lr=0.02, n=4))
    surprisal = torch.stack([wide.surprisal(step.z).mean(1) for step in steps])
    assert (surprisal[-5:].mean(0) > surprisal[:5].mean(0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumes_from_any_step(pipe, density, kind):
    concept = init(pipe, kind, "pet", k=2, generator=torch.Generator().manual_seed(0))
    full = list(optimize(pipe, concept, Rarity(density), steps=5, n=2, lr=0.002))
    rest = list(
        optimize(
            pipe,
            full[2].concept,
            Rarity(density),
            steps=5,
            n=2,
            lr=0.002,
            optimizer_state=full[2].optimizer_state,
        )
    )
    assert [step.index for step in rest] == [2, 3, 4]
    assert torch.equal(rest[-1].z, full[-1].z)
    assert all(
        torch.equal(rest[-1].concept.tensors[name], value)
        for name, value in full[-1].concept.tensors.items()
    )


def test_an_explosion_ends_the_run(pipe):
    calls = itertools.count()
    steps = []
    with pytest.raises(Diverged, match="step 3: the total went from") as caught:
        for step in optimize(
            pipe, start(pipe), lambda z: Terms(z.mean((1, 2)) + 10.0 ** (3 * next(calls)), {}), n=2
        ):
            steps.append(step)
    assert caught.value.last is steps[-1]


def test_steps_are_frozen_states(pipe, density):
    concept = start(pipe)
    steps = list(optimize(pipe, concept, Rarity(density), steps=3, n=2))
    assert [step.index for step in steps] == [0, 1, 2]
    assert torch.equal(steps[0].concept.vectors, concept.vectors)
    assert torch.equal(concept.vectors, start(pipe).vectors)
    assert not torch.equal(steps[1].concept.vectors, steps[0].concept.vectors)
    assert not steps[2].z.requires_grad
    assert not steps[2].terms.total.requires_grad
    assert steps[2].concept.vectors.dtype == torch.float32
    assert list(steps[0].terms.named) == ["rarity"]


def test_a_step_moves_by_the_rate_in_units_of_the_scale(pipe, density):
    concept = start(pipe)
    first, second = optimize(pipe, concept, Rarity(density), steps=2, n=2, lr=0.1)
    assert (second.concept.vectors - first.concept.vectors).abs().max().item() == pytest.approx(
        0.1 * concept.scale, rel=1e-2
    )


def test_the_same_seed_gives_the_same_run(pipe, density):
    one, same, other = (
        list(optimize(pipe, start(pipe), Rarity(density), steps=3, n=2, seed=seed))[-1].z
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_templates_take_turns(pipe, density):
    first, _, third = optimize(
        pipe,
        start(pipe),
        lambda z: Terms(0 * z.sum((1, 2)), {}),
        templates=["a {}", "a red {}"],
        steps=3,
        n=1,
    )
    alone = [
        next(optimize(pipe, start(pipe), Rarity(density), templates=[template], n=1)).z
        for template in ("a {}", "a red {}")
    ]
    assert torch.equal(first.z, alone[0]) and not torch.equal(alone[0], alone[1])
    assert torch.equal(first.concept.vectors, third.concept.vectors)


def test_works_for_a_caller_in_no_grad(pipe, density):
    with torch.no_grad():
        assert (
            len(list(itertools.islice(optimize(pipe, start(pipe), Rarity(density), n=2), 2))) == 2
        )


@pytest.mark.parametrize("bad_step", [0, 2])
def test_divergence_carries_the_last_good_step(pipe, bad_step):
    calls = itertools.count()

    def objective(z):
        return Terms(z.mean((1, 2)) * (torch.nan if next(calls) == bad_step else 1), {})

    steps = []
    with pytest.raises(Diverged, match=f"step {bad_step}: total, gradient not finite") as caught:
        for step in optimize(pipe, start(pipe), objective, n=2):
            steps.append(step)
    assert caught.value.last is (steps[-1] if steps else None) and len(steps) == bad_step


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"n": 0}, "n is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"templates": []}, r"templates is \[\]"),
    ],
)
def test_bad_input_is_refused_at_once(pipe, density, settings, words):
    with pytest.raises(InputError, match=words):
        optimize(pipe, start(pipe), Rarity(density), **settings)

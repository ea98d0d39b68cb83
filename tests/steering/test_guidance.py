"""Guidance while sampling: the push, the split, and both in the prior and the decoder."""

import pytest
import torch

from creativelib.density import FlowDensity, GaussianDensity, MixtureDensity
from creativelib.errors import InputError
from creativelib.steering.guidance import (
    guide_decoder,
    guide_prior,
    move_to_surprisal,
    rarity_denoised_fn,
    split_prior,
    survivors,
)
from creativelib.unclip.conditions import PartialStart
from creativelib.unclip.prior import PriorSampling


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def typical(menagerie):
    z = menagerie.sample_prior(menagerie.encode_text(["a photo of a pet"]), 400, noise=seeded(0))
    return GaussianDensity.fit(z)


@pytest.fixture(scope="module")
def density(pipe):
    return GaussianDensity.fit(
        pipe.sample_prior(pipe.encode_text(["a photo of a pet"]), 400, noise=seeded(0))[0], pca=0.9
    )


@pytest.mark.parametrize("kind", [GaussianDensity, MixtureDensity])
def test_a_small_push_closes_its_share_of_the_gap(kind):
    made = kind.fit(torch.randn(500, 6, generator=seeded(0)) * torch.linspace(2, 0.5, 6))
    z = torch.randn(4, 3, 6, generator=seeded(1), dtype=torch.float64)
    for side in (-1, 1):
        target = made.surprisal(z).mean().item() + side * 50
        gap = target - made.surprisal(z)
        closed = made.surprisal(move_to_surprisal(made, z, target, share=1e-4)) - made.surprisal(z)
        assert torch.allclose(closed, 1e-4 * gap, rtol=0.05)


def test_a_push_reaches_its_target_and_stays_in_the_subspace():
    """The fit has many samples, so that its shrinkage vanishes."""
    made = GaussianDensity.fit(
        torch.randn(20_000, 8, generator=seeded(0)) * torch.linspace(3, 0.3, 8), pca=0.9
    )
    z = made.sample(5, seeded(2))
    axes = made.subspace.axes
    for target in (made.quantile(0.99), made.quantile(0.5) + 300):
        moved = move_to_surprisal(made, z, target)
        assert torch.allclose(
            made.surprisal(moved), torch.full((5,), target, dtype=torch.float64), rtol=1e-2
        )
        assert torch.allclose(moved - z, (moved - z) @ axes.T @ axes, atol=1e-9)
        half = move_to_surprisal(made, z, target, share=0.5)
        assert torch.allclose(made.surprisal(half), (made.surprisal(z) + target) / 2, rtol=1e-2)


def two_clouds():
    return torch.cat(
        [
            torch.randn(300, 6, generator=seeded(0)) * torch.linspace(2, 0.5, 6),
            torch.randn(300, 6, generator=seeded(1)) * 0.3 + 6,
        ]
    )


@pytest.mark.parametrize(
    "made",
    [
        GaussianDensity.fit(two_clouds()[:40]),
        GaussianDensity.fit(two_clouds(), pca=0.8),
        MixtureDensity.fit(two_clouds(), k=3),
        MixtureDensity.fit(two_clouds(), k=3, pca=0.9, residual=False),
        FlowDensity.fit(two_clouds(), steps=10),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_full_push_reaches_its_target_under_every_density(made, dtype):
    """One step, as if the surprisal were quadratic, ended at 579 nats for 123."""
    z = two_clouds()[::30].view(4, 5, 6).to(dtype)
    before = made.surprisal(z).double()
    typical = made.fit_surprisal[len(made.fit_surprisal) // 2].item()
    for target in (before.max().item() + 3, typical + 30, typical + 1000):
        for share in (1.0, 0.3):
            goal = before + share * (target - before)
            moved = move_to_surprisal(made, z, target, share)
            reached = made.surprisal(moved).double()
            assert ((reached - goal).abs() <= 0.0101 * (goal - before).abs() + 1e-3).all()
            assert moved.dtype == dtype
    low = made.surprisal(move_to_surprisal(made, z, typical - 1000)).double()
    assert (low < before).all()
    # What lies between, on the way there, is reached from above.
    middle = ((low + before) / 2)[0, 0].item()
    down = made.surprisal(move_to_surprisal(made, z[0, 0], middle)).double()
    assert down.item() == pytest.approx(middle, abs=0.0101 * (before[0, 0] - middle).item() + 1e-3)


def test_a_gaussians_push_is_the_closed_one():
    """The fit has many samples, so that its shrinkage vanishes."""
    made = GaussianDensity.fit(
        torch.randn(20_000, 8, generator=seeded(0)) * torch.linspace(3, 0.3, 8)
    )
    z = made.sample(40, seeded(0)).float()
    target = made.quantile(0.99) + 10
    deviations = made.subspace.variances.sqrt()
    slope = -(made.score(z).double() @ made.subspace.axes.T) * deviations
    length = slope.norm(dim=-1)
    gap = target - made.surprisal(z).double()
    step = (length.square() + 2 * gap).sqrt() - length
    by_hand = z + ((step / length)[..., None] * slope * deviations @ made.subspace.axes).float()
    assert torch.allclose(move_to_surprisal(made, z, target), by_hand, atol=1e-5)


def test_a_push_to_less_than_the_least_ends_at_the_mean(density):
    """The mean is that of the subspace; the residual stays."""
    z = density.sample(3, seeded(2))
    ends = move_to_surprisal(density, z, -1e6)
    assert torch.allclose(
        density.subspace.project(ends),
        torch.zeros(3, len(density.subspace.axes), dtype=torch.float64),
        atol=0.05,
    )


def test_a_strength_of_0_changes_nothing(pipe, density):
    cond = pipe.encode_text(["a photo of a pet"])
    guided = guide_prior(
        pipe,
        cond,
        n=4,
        density=density,
        target=1e3,
        generator=seeded(1),
        strength=0.0,
        sampling=PriorSampling(steps=5),
    )
    assert torch.allclose(
        guided,
        pipe.sample_prior(cond, 4, noise=seeded(1), sampling=PriorSampling(steps=5)),
        atol=1e-5,
    )
    z = pipe.sample_prior(cond, 2, noise=seeded(1))
    pictures = guide_decoder(
        pipe, z, density=density, target=1e3, generator=seeded(2), strength=0.0, steps=4
    )
    assert torch.allclose(pictures, pipe.decode(z, generator=seeded(2), steps=4), atol=1e-4)


def test_the_prior_is_pushed_to_be_rare(menagerie, typical):
    cond = menagerie.encode_text(["a photo of a pet"])
    target = typical.quantile(0.99) + 20
    medians = [
        typical.surprisal(
            guide_prior(
                menagerie,
                cond,
                n=48,
                density=typical,
                target=target,
                generator=seeded(1),
                strength=strength,
            )
        ).median()
        for strength in (0.0, 0.2, 1.0)
    ]
    assert medians == sorted(medians) and medians[2] > medians[0] + 20


def test_the_survivor_is_the_nearest_of_its_own_family(density):
    z = density.sample(24, seeded(0)).float().view(2, 12, -1)
    target = density.quantile(0.9)
    rows = survivors(density, target, branches=4)(z, 0.5)
    away = (density.surprisal(z) - target).abs()
    for k in range(2):
        for family in range(3):
            own = range(4 * family, 4 * family + 4)
            assert rows[k, own].tolist() == 4 * [min(own, key=lambda i, k=k: away[k, i])]
    at_the_end = survivors(density, target, branches=4)(z, 1.0)
    assert torch.equal(at_the_end, torch.arange(12).expand(2, 12))


def test_a_survivor_continues_from_its_own_noise(pipe):
    """A clean embedding and the noisy one that it was predicted from are copied together."""
    cond = pipe.encode_text(["a photo of a pet"] * 2)
    batches = []

    def first_of_all(z, done):
        batches.append(z)
        return torch.zeros(z.shape[:2], dtype=torch.long)

    z = pipe.sample_prior(
        cond, 3, noise=seeded(1), resample_fn=first_of_all, sampling=PriorSampling(steps=2)
    )
    plain = pipe.sample_prior(
        cond,
        3,
        noise=seeded(1),
        resample_fn=lambda z, done: torch.arange(3).expand(2, 3),
        sampling=PriorSampling(steps=2),
    )
    assert torch.equal(
        plain, pipe.sample_prior(cond, 3, noise=seeded(1), sampling=PriorSampling(steps=2))
    )
    # The first sample becomes what it would have become without resampling. At the last step all
    # samples were copies of it.
    assert torch.allclose(z[:, 0], plain[:, 0], atol=1e-5) and torch.allclose(z[:, 1], z[:, 0])
    assert batches[0].shape == z.shape


def test_with_one_branch_nothing_is_split(pipe, density):
    cond = pipe.encode_text(["a photo of a pet"])
    split = split_prior(
        pipe,
        cond,
        n=4,
        density=density,
        target=1e3,
        generator=seeded(1),
        branches=1,
        sampling=PriorSampling(steps=5),
    )
    assert torch.equal(
        split, pipe.sample_prior(cond, 4, noise=seeded(1), sampling=PriorSampling(steps=5))
    )


@pytest.mark.parametrize("given", [1, 3])
def test_each_family_begins_at_its_own_start(pipe, density, given):
    z = pipe.sample_prior(pipe.encode_text(["a photo of a pet"]), given, noise=seeded(5))
    cond = pipe.encode_text(["a photo of a pet"])
    split = split_prior(
        pipe,
        cond,
        n=3,
        density=density,
        target=1e3,
        generator=seeded(1),
        branches=1,
        start=PartialStart(z, 0.3),
    )
    assert torch.equal(
        split,
        pipe.sample_prior(
            cond,
            3,
            noise=seeded(1),
            start=PartialStart(z, 0.3),
            sampling=PriorSampling(steps=6),
        ),
    )
    assert (
        split_prior(
            pipe,
            cond,
            n=3,
            density=density,
            target=1e3,
            generator=seeded(1),
            branches=4,
            start=PartialStart(z, 0.3),
        ).shape
        == split.shape
    )


def test_splitting_reaches_the_target(menagerie, typical):
    cond = menagerie.encode_text(["a photo of a pet"])
    target = typical.quantile(0.99)
    split = typical.surprisal(
        split_prior(menagerie, cond, n=64, density=typical, target=target, generator=seeded(1))
    )
    plain = typical.surprisal(
        menagerie.sample_prior(cond, 64, noise=seeded(1), sampling=PriorSampling(steps=10))
    )
    assert split.shape == (1, 64)
    assert (split - target).abs().median() < 0.25 * (plain - target).abs().median()


def test_the_last_step_is_left_to_the_denoiser(density):
    z = density.sample(3, seeded(0)).float()
    denoised_fn = rarity_denoised_fn(density, 1e3)
    assert torch.equal(denoised_fn(z, 1.0), z) and not torch.equal(denoised_fn(z, 0.5), z)


def test_the_decoder_is_pushed_to_be_rare(menagerie, typical):
    z = menagerie.sample_prior(menagerie.encode_text(["a photo of a pet"]), 6, noise=seeded(1))
    plain, guided = (
        typical.surprisal(
            menagerie.encode_images(
                guide_decoder(
                    menagerie,
                    z,
                    density=typical,
                    target=typical.quantile(0.99) + 50,
                    generator=seeded(2),
                    strength=strength,
                    steps=5,
                )
            )
        )
        for strength in (0.0, 1.0)
    )
    assert guided.median() > plain.median() + 10


def test_fewer_steps_stay_closer_to_the_start(menagerie):
    z = menagerie.sample_prior(menagerie.encode_text(["a photo of a cat"]), 8, noise=seeded(3))
    cond = menagerie.encode_text(["a photo of a pet"])
    apart = [
        (
            menagerie.sample_prior(
                cond,
                8,
                noise=seeded(1),
                start=PartialStart(z, strength),
                sampling=PriorSampling(steps=10),
            )
            - z
        )
        .norm(dim=-1)
        .mean()
        for strength in (0.1, 0.5, 1.0)
    ]
    assert apart == sorted(apart)
    assert PartialStart(z, 0.4).first_step(10) == 6 and PartialStart(z, 0.01).first_step(10) == 9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda pipe, density: rarity_denoised_fn(density, 1.0, strength=1.0, schedule="loud"),
            "schedule is 'loud'",
        ),
        (lambda pipe, density: rarity_denoised_fn(density, 1.0, -1.0), "strength is -1.0"),
        (
            lambda pipe, density: split_prior(
                pipe,
                pipe.encode_text(["a pet"]),
                n=1,
                density=density,
                target=1.0,
                generator=seeded(0),
                branches=0,
            ),
            "branches is 0",
        ),
        (lambda pipe, density: PartialStart(torch.zeros(1, 1, 16), 0.0), "strength is 0.0"),
    ],
)
def test_bad_input(pipe, density, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe, density)

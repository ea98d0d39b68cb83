"""Moves in the space of embeddings against closed forms, and inversion of pictures to noise."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity, normalize

from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.metrics.pixels import psnr
from creativelib.unclip.latent import (
    Inverted,
    best_of_two,
    ddim_inversion,
    interpolate,
    pca_reconstructions,
    slerp,
    text_diff,
    variations,
    with_ddim,
)
from creativelib.world.scenes import draw, sample_scenes


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


@given(seed=st.integers(0, 1000), weight=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_slerp_equals_the_quotient_of_sines(seed, weight):
    a, b = randn(2, 3, 8, seed=seed).double()
    angle = torch.acos(cosine_similarity(a, b, dim=-1))[:, None]
    unit = (
        torch.sin((1 - weight) * angle) * normalize(a, dim=-1)
        + torch.sin(weight * angle) * normalize(b, dim=-1)
    ) / angle.sin()
    between = slerp(a, b, weight)
    torch.testing.assert_close(normalize(between, dim=-1), unit)
    torch.testing.assert_close(
        between.norm(dim=-1), (1 - weight) * a.norm(dim=-1) + weight * b.norm(dim=-1)
    )
    torch.testing.assert_close(slerp(b, a, 1 - weight), between)


def test_slerp_in_the_plane_turns_at_constant_speed():
    weights = torch.linspace(0, 1, 7)
    found = slerp(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), weights)
    torch.testing.assert_close(
        found, 2 * torch.stack([(weights * math.pi / 2).cos(), (weights * math.pi / 2).sin()], 1)
    )


@pytest.mark.parametrize("apart", [0.0, 1e-7, 1e-4])
def test_slerp_of_nearly_parallel_vectors_stays_between_them(apart):
    a = randn(5, 16)
    b = a + apart * randn(5, 16, seed=1)
    torch.testing.assert_close(slerp(a, b, 0.3), 0.7 * a + 0.3 * b, atol=1e-6, rtol=0)
    moving = a.clone().requires_grad_()
    assert torch.autograd.grad(slerp(moving, b, 0.3).sum(), moving)[0].isfinite().all()


def test_slerp_takes_a_weight_for_each_row():
    a = randn(4, 1, 6)
    b = randn(4, 1, 6, seed=1)
    weights = torch.linspace(0, 1, 3)[None]
    together = slerp(a, b, weights)
    assert together.shape == (4, 3, 6)
    torch.testing.assert_close(together[:, 1], slerp(a[:, 0], b[:, 0], 0.5))


@given(seed=st.integers(0, 1000), theta=st.floats(0, 0.5))
@settings(max_examples=40, deadline=None)
def test_a_text_diff_turns_by_its_share_and_keeps_the_length(seed, theta):
    z, text, base = randn(3, 4, 8, seed=seed).double()
    moved = text_diff(z, text=text, base=base, theta=theta)
    direction = text - base
    torch.testing.assert_close(moved.norm(dim=-1), z.norm(dim=-1))
    whole = torch.acos(cosine_similarity(z, direction, dim=-1))
    torch.testing.assert_close(
        torch.acos(cosine_similarity(moved, direction, dim=-1)), (1 - theta) * whole
    )


def test_the_better_of_two_neighbors_is_returned():
    z = randn(3, 8, 5)
    text = randn(3, 5, seed=1)
    better = best_of_two(z, text)
    assert better.shape == (3, 4, 5)
    for k in range(3):
        for i in range(4):
            pair = z[k, 2 * i : 2 * i + 2]
            best = cosine_similarity(pair, text[k][None], dim=-1).argmax()
            assert torch.equal(better[k, i], pair[best])
    assert torch.equal(best_of_two(3 * z, text), 3 * better)


def test_more_components_reconstruct_more_exactly():
    z = randn(200, 6).double() * torch.linspace(3, 0.5, 6).double()
    space = GaussianDensity.fit(z, pca=1.0).subspace
    rebuilt = pca_reconstructions(z[:10].view(2, 5, 6), space, range(7))
    assert rebuilt.shape == (7, 2, 5, 6)
    torch.testing.assert_close(rebuilt[0], space.mean.expand(2, 5, 6))
    torch.testing.assert_close(rebuilt[6], z[:10].view(2, 5, 6))
    misses = (rebuilt - z[:10].view(2, 5, 6)).flatten(1).norm(dim=1).tolist()
    assert misses == sorted(misses, reverse=True)


@pytest.fixture(scope="module")
def pictures():
    return draw(sample_scenes(6, seeded(3)))


@pytest.fixture(scope="module")
def inverted(menagerie, pictures):
    with torch.no_grad():
        return ddim_inversion(menagerie, pictures)


@pytest.fixture(scope="module")
def returned(menagerie, inverted):
    return back(menagerie, inverted)


def back(pipe, inverted, **options):
    """Decode inverted pictures without guidance."""
    with torch.no_grad():
        return pipe.decode(
            inverted.z[:, None],
            noise=inverted.noise[:, None],
            generator=seeded(0),
            guidance=1.0,
            **options,
        )[:, 0]


def test_inverted_pictures_come_back(menagerie, pictures, inverted, returned):
    with torch.no_grad():
        ceiling = psnr(
            menagerie.render_latents(menagerie.encode_latents(pictures)), pictures
        ).mean()
        once = ddim_inversion(menagerie, pictures, rounds=1)
    found = psnr(returned, pictures).mean()
    assert found > 24 and found > ceiling - 1
    assert found > psnr(back(menagerie, once), pictures).mean()
    assert 0.8 < inverted.noise.std() < 1.2


def test_the_noise_is_each_pictures_own(menagerie, pictures, inverted, returned, monkeypatch):
    swapped = Inverted(inverted.z, inverted.noise.roll(1, 0))
    assert psnr(back(menagerie, swapped), pictures).mean() < psnr(returned, pictures).mean() - 5
    monkeypatch.setattr("creativelib.unclip.latent.PICTURE_ROWS", 2)
    with torch.no_grad():
        torch.testing.assert_close(
            ddim_inversion(menagerie, pictures[:3]).noise, inverted.noise[:3], atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("scheduler", ["v_prediction", "epsilon", "ddpm"])
def test_noise_is_found_whatever_the_network_predicts(pipe, scheduler):
    """The noise is that of latents, since a random autoencoder keeps nothing of a picture.

    The network's output is small enough for the iteration to converge.
    """
    from diffusers import DDIMScheduler, DDPMScheduler

    own = {
        "v_prediction": pipe.decoder.scheduler,
        "epsilon": DDIMScheduler(prediction_type="epsilon", clip_sample=False),
        "ddpm": DDPMScheduler(variance_type="learned_range", clip_sample=False),
    }[scheduler]
    unet = copy.deepcopy(pipe.decoder.unet)
    unet.conv_out.weight.mul_(0.05)
    decoder = replace(pipe.decoder, scheduler=own, unet=unet)
    pipe = with_ddim(replace(pipe, decoder=decoder))
    with torch.no_grad():
        found = ddim_inversion(
            pipe, torch.rand(3, 3, 20, 24, generator=seeded(0)), steps=5, rounds=20
        )
        assert found.z.shape == (3, 16) and found.noise.shape == (3, 4, 4, 4)
        fitted = torch.rand(3, 3, 16, 16, generator=seeded(1))
        latents = pipe.decoder.encode(fitted)
        again = back(pipe, ddim_inversion(pipe, fitted, steps=5, rounds=20), steps=5)
    torch.testing.assert_close(again, pipe.render_latents(latents), atol=1e-3, rtol=0)


def test_given_noise_is_what_a_generator_would_draw(pipe):
    z = randn(2, 3, 16)
    noise = torch.randn(6, 4, 4, 4, generator=seeded(4)).view(2, 3, 4, 4, 4)
    assert torch.equal(
        pipe.decode(z, noise=noise, generator=seeded(9)), pipe.decode(z, generator=seeded(4))
    )
    shared = pipe.decode(z, noise=noise[:1, :1], generator=seeded(9))
    assert torch.equal(
        shared, pipe.decode(z, noise=noise[:1, :1].expand(2, 3, -1, -1, -1), generator=seeded(9))
    )


def test_eta_adds_noise_of_the_generator(pipe):
    z = randn(1, 2, 16)
    noise = randn(1, 2, 4, 4, 4, seed=1)
    assert torch.equal(
        pipe.decode(z, noise=noise, eta=0.0, generator=seeded(1)),
        pipe.decode(z, noise=noise, generator=seeded(2)),
    )
    one, other = (pipe.decode(z, noise=noise, eta=1.0, generator=seeded(seed)) for seed in (1, 2))
    assert one.isfinite().all() and not torch.allclose(one, other)
    two = pipe.decode(z.expand(2, -1, -1), noise=noise, eta=1.0, generator=[seeded(1), seeded(2)])
    torch.testing.assert_close(two, torch.cat([one, other]))


def test_variations_keep_what_clip_saw_and_vary_the_more_the_larger_eta(
    menagerie, inverted, pictures
):
    with torch.no_grad():
        near, far = (
            variations(menagerie, inverted, 2, generator=seeded(0), eta=eta) for eta in (0.2, 1.0)
        )
        z = menagerie.encode_images(far)
    assert far.shape == (6, 2, 3, 64, 64)
    assert psnr(near, pictures[:, None]).mean() > psnr(far, pictures[:, None]).mean() + 2
    assert near.std(1).mean() < far.std(1).mean()
    assert cosine_similarity(z, inverted.z[:, None], dim=-1).mean() > 0.8


def test_interpolation_ends_at_the_pictures(menagerie, inverted, returned):
    first, second = (
        Inverted(inverted.z[rows], inverted.noise[rows]) for rows in (slice(0, 3), slice(3, 6))
    )
    with torch.no_grad():
        between = interpolate(menagerie, first, second, weights=torch.linspace(0, 1, 3))
        fixed = interpolate(
            menagerie, first, second, weights=torch.tensor([0.0, 0.5]), noise=first.noise
        )
    assert between.shape == (3, 3, 3, 64, 64)
    torch.testing.assert_close(between[:, 0], returned[:3], atol=1e-3, rtol=0)
    torch.testing.assert_close(between[:, 2], returned[3:], atol=1e-3, rtol=0)
    torch.testing.assert_close(fixed[:, 0], between[:, 0], atol=1e-3, rtol=0)
    assert not torch.allclose(fixed[:, 1], between[:, 1], atol=1e-2)


def ddpm(pipe):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(variance_type="learned_range", clip_sample=False)
    return replace(pipe, decoder=replace(pipe.decoder, scheduler=scheduler))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pipe: ddim_inversion(pipe, torch.rand(1, 3, 16, 16), steps=0), "steps is 0"),
        (lambda pipe: ddim_inversion(pipe, torch.rand(1, 3, 16, 16), rounds=0), "rounds is 0"),
        (
            lambda pipe: ddim_inversion(ddpm(pipe), torch.rand(1, 3, 16, 16)),
            "decodes with a DDPMScheduler; .* see with_ddim",
        ),
        (
            lambda pipe: pipe.decode(randn(1, 2, 16), generator=seeded(0), eta=1.1),
            r"eta is 1.1; expected a number in \[0, 1\]",
        ),
        (lambda pipe: pipe.decode(randn(1, 2, 16), generator=seeded(0), eta=-0.1), "eta is -0.1"),
        (
            lambda pipe: ddpm(pipe).decode(randn(1, 2, 16), generator=seeded(0), eta=0.5),
            "eta is 0.5; expected 0 with a DDPMScheduler",
        ),
        (
            lambda pipe: pipe.decode(
                randn(1, 2, 16), generator=seeded(0), noise=randn(1, 2, 3, 4, 4)
            ),
            r"noise is of shape \(1, 2, 3, 4, 4\); expected \(1, 2, 4, 4, 4\)",
        ),
        (lambda pipe: best_of_two(randn(1, 3, 4), randn(1, 4)), "z holds 3 samples"),
        (
            lambda pipe: text_diff(randn(2, 4), text=randn(4), base=randn(4), theta=0.2),
            "text equals base",
        ),
        (
            lambda pipe: pca_reconstructions(
                randn(2, 6), GaussianDensity.fit(randn(50, 6), pca=0.5).subspace, [7]
            ),
            "components is 7",
        ),
        (
            lambda pipe: variations(
                pipe, Inverted(randn(1, 16), randn(1, 4, 4, 4)), n=0, generator=seeded(0)
            ),
            "n is 0",
        ),
    ],
)
def test_bad_input(pipe, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe)


def test_a_scheduler_without_eta_still_decodes(pipe):
    pictures = ddpm(pipe).decode(
        randn(1, 2, 16), noise=randn(1, 2, 4, 4, 4), generator=seeded(0), steps=3
    )
    assert pictures.shape == (1, 2, 3, 16, 16) and pictures.isfinite().all()

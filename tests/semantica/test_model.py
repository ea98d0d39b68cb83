"""The schedule and the sampler against closed forms, and variations by a tiny network of the bundled one's class."""

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.semantica.learning import build
from creativelib.semantica.model import Semantica, denoise, level, sample


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@given(st.floats(0, 1))
def test_signal_and_noise_share_the_variance(t):
    at = level(torch.tensor(t, dtype=torch.float64))
    assert math.isclose(at.signal**2 + at.noise**2, 1, abs_tol=1e-12)


def test_time_runs_from_clean_to_noise():
    at = level(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(at.signal, torch.tensor([1, 0.5**0.5, 0]), atol=1e-6)
    assert torch.allclose(at.noise, torch.tensor([0, 0.5**0.5, 1]), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_who_knows_the_picture_draws_it(steps):
    picture = torch.randn(2, 3, 4, 4, generator=seeded(0))
    noise = torch.randn(2, 3, 4, 4, generator=seeded(1))
    drawn = sample(lambda x, t, shown: picture, noise, steps)
    assert torch.allclose(drawn, picture, atol=1e-5)


def test_the_best_guess_for_a_gaussian_draws_the_gaussian():
    """For data of mean m and deviation s the clean mean given x is known; sampling with it has to return m and s."""
    m = 0.7
    s = 0.4

    def best(x, t, shown):
        at = level(t[:, None, None, None])
        return m + at.signal * s**2 * (x - at.signal * m) / (at.signal**2 * s**2 + at.noise**2)

    drawn = sample(best, torch.randn(4000, 1, 2, 2, generator=seeded(2)), 100)
    assert abs(drawn.mean() - m) < 0.02 and abs(drawn.std() - s) < 0.02


def test_guidance_leads_away_from_who_is_shown_nothing():
    def predict(x, t, shown):
        return shown * torch.ones_like(x)

    noise = torch.zeros(1, 1, 2, 2)
    for guidance, value in ((1.0, 1.0), (3.0, 3.0)):
        assert torch.allclose(
            sample(predict, noise, 4, guidance), torch.full_like(noise, value), atol=1e-5
        )


@pytest.fixture
def folder(tmp_path, parts):
    UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D",) * 2,
        attention_head_dim=2,
        cross_attention_dim=8,
        encoder_hid_dim=16,
        encoder_hid_dim_type="text_proj",
        norm_num_groups=4,
        num_class_embeds=3,
    ).save_pretrained(tmp_path)
    about = dict(zip(("encoder", "movq"), parts, strict=True))
    (tmp_path / "semantica.json").write_text(json.dumps(about))
    return tmp_path


def test_sets_of_pictures_are_varied(folder):
    semantica = Semantica.load(folder)
    pictures = torch.rand(2, 3, 3, 16, 16, generator=seeded(0))
    varied = semantica.vary(pictures, 4, generator=seeded(1), steps=2)
    assert varied.shape == (2, 4, 3, 16, 16) and varied.min() >= 0 and varied.max() <= 1
    assert torch.equal(varied, semantica.vary(pictures, 4, generator=seeded(1), steps=2))
    assert not torch.equal(varied, semantica.vary(pictures, 4, generator=seeded(2), steps=2))


def test_the_order_of_what_is_shown_does_not_matter(folder):
    semantica = Semantica.load(folder)
    pictures = torch.rand(1, 3, 3, 16, 16, generator=seeded(0))
    first, second = (
        semantica.vary(pictures[:, order], 2, generator=seeded(1), steps=2)
        for order in ([0, 1, 2], [2, 0, 1])
    )
    assert torch.allclose(first, second, atol=1e-4)


def test_the_same_picture_twice_is_more_than_once_and_more_than_it_learned_to_count_is_no_more(
    folder,
):
    semantica = Semantica.load(folder)
    picture = torch.rand(1, 1, 3, 16, 16, generator=seeded(0))
    once, twice, thrice = (
        semantica.vary(picture.expand(1, m, -1, -1, -1), 2, generator=seeded(1), steps=2)
        for m in (1, 2, 3)
    )
    assert not torch.allclose(once, twice, atol=1e-4)
    assert torch.allclose(twice, thrice, atol=1e-4)


def test_of_nothing_shown_the_tokens_do_not_matter(folder):
    unet = Semantica.load(folder).unet
    x = torch.randn(2, 4, 4, 4, generator=seeded(0))
    t = torch.tensor([0.3, 0.9])
    one, other = (
        denoise(unet, x, t, torch.randn(2, 5, 16, generator=seeded(seed)), torch.tensor([0, 1]))
        for seed in (1, 2)
    )
    assert torch.equal(one[0], other[0]) and not torch.allclose(one[1], other[1])


def test_what_is_shown_matters(folder):
    semantica = Semantica.load(folder)
    pictures = torch.rand(2, 1, 3, 16, 16, generator=seeded(0))
    first, second = (semantica.vary(pictures[[i]], 1, generator=seeded(1), steps=2) for i in (0, 1))
    assert not torch.allclose(first, second, atol=1e-4)


def test_nothing_shown_nothing_asked_and_no_steps_are_refused(folder):
    semantica = Semantica.load(folder)
    pictures = torch.rand(1, 1, 3, 16, 16)
    for named, what, n, steps in (
        ("n", pictures, 0, 2),
        ("pictures per set", pictures[:, :0], 1, 2),
        ("steps", pictures, 1, 0),
    ):
        with pytest.raises(InputError, match=f"{named} is 0"):
            semantica.vary(what, n, generator=seeded(0), steps=steps)


def test_unknown_models_are_refused(tmp_path):
    for name in ("semantics", Path(tmp_path)):
        with pytest.raises(
            InputError, match="expected menagerie, control and a folder with semantica.json"
        ):
            Semantica.load(name)


def test_a_network_of_the_second_stack_looks_and_draws_through_it(tmp_path):
    """Its latents have the first one's size, so nothing else would say that they are drawn by the wrong autoencoder."""
    torch.manual_seed(0)
    build(192, channels=(16, 32), layers=1).save_pretrained(tmp_path)
    (tmp_path / "semantica.json").write_text(
        json.dumps({"encoder": "clip", "movq": "menagerie-128"})
    )
    varied = Semantica.load(tmp_path).vary(
        torch.rand(1, 1, 3, 64, 64), 1, generator=seeded(0), steps=1
    )
    assert varied.shape == (1, 1, 3, 128, 128)

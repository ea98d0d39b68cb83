"""The schedule and the sampler against closed forms, and variations by a tiny network."""

import json
import math
import shutil
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
def test_a_perfect_prediction_draws_the_picture(steps):
    picture = torch.randn(2, 3, 4, 4, generator=seeded(0))
    noise = torch.randn(2, 3, 4, 4, generator=seeded(1))
    drawn = sample(lambda x, t, shown: picture, noise, steps)
    assert torch.allclose(drawn, picture, atol=1e-5)


def test_the_best_guess_for_a_gaussian_draws_the_gaussian():
    """For data of mean m and deviation s the best prediction has a closed form.

    Sampling with it has to return m and s.
    """
    m = 0.7
    s = 0.4

    def best(x, t, shown):
        at = level(t[:, None, None, None])
        return m + at.signal * s**2 * (x - at.signal * m) / (at.signal**2 * s**2 + at.noise**2)

    drawn = sample(best, torch.randn(4000, 1, 2, 2, generator=seeded(2)), 100)
    assert abs(drawn.mean() - m) < 0.02 and abs(drawn.std() - s) < 0.02


def test_guidance_leads_away_from_the_prediction_with_nothing_shown():
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
    card = dict(zip(("encoder", "movq"), parts, strict=True))
    (tmp_path / "semantica.json").write_text(json.dumps(card))
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


def test_pictures_are_counted_up_to_the_largest_number_in_training(folder):
    semantica = Semantica.load(folder)
    picture = torch.rand(1, 1, 3, 16, 16, generator=seeded(0))
    once, twice, thrice = (
        semantica.vary(picture.expand(1, m, -1, -1, -1), 2, generator=seeded(1), steps=2)
        for m in (1, 2, 3)
    )
    assert not torch.allclose(once, twice, atol=1e-4)
    assert torch.allclose(twice, thrice, atol=1e-4)


def test_with_nothing_shown_the_tokens_do_not_matter(folder):
    unet = Semantica.load(folder).unet
    x = torch.randn(2, 4, 4, 4, generator=seeded(0))
    t = torch.tensor([0.3, 0.9])
    one, other = (
        denoise(unet, x, t, torch.randn(2, 5, 16, generator=seeded(seed)), torch.tensor([0, 1]))
        for seed in (1, 2)
    )
    assert torch.equal(one[0], other[0]) and not torch.allclose(one[1], other[1])


def test_the_pictures_shown_matter(folder):
    semantica = Semantica.load(folder)
    pictures = torch.rand(2, 1, 3, 16, 16, generator=seeded(0))
    first, second = (semantica.vary(pictures[[i]], 1, generator=seeded(1), steps=2) for i in (0, 1))
    assert not torch.allclose(first, second, atol=1e-4)


def test_no_pictures_no_variations_and_no_steps_are_refused(folder):
    semantica = Semantica.load(folder)
    pictures = torch.rand(1, 1, 3, 16, 16)
    for words, shown, n, steps in (
        ("n is 0", pictures, 0, 2),
        (r"pictures is of shape \(1, 0, 3, 16, 16\)", pictures[:, :0], 1, 2),
        ("steps is 0", pictures, 1, 0),
    ):
        with pytest.raises(InputError, match=words):
            semantica.vary(shown, n, generator=seeded(0), steps=steps)


def test_unknown_models_are_refused(tmp_path):
    for name in ("semantics", Path(tmp_path)):
        with pytest.raises(
            InputError, match="expected menagerie, control or a folder with semantica.json"
        ):
            Semantica.load(name)


@pytest.mark.parametrize("name", ["encoder", "movq"])
@pytest.mark.parametrize(
    "value", ["owner/other", "../elsewhere", "/etc", "", ".", "resnet", None, 1, ["clip"], {}]
)
def test_parts_lie_in_the_folder_or_are_bundled(folder, tmp_path_factory, name, value):
    elsewhere = folder.parent / "elsewhere"
    shutil.copytree(folder / name, elsewhere, dirs_exist_ok=True)
    card = json.loads((folder / "semantica.json").read_text()) | {name: value}
    (folder / "semantica.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"names .* as its|leads outside|is of class|expected"):
        Semantica.load(folder)


def test_a_saved_model_can_be_moved(folder, tmp_path):
    """Its parts lie in its folder, and draw the same there."""
    pictures = torch.rand(1, 1, 3, 16, 16, generator=seeded(0))
    semantica = Semantica.load(folder)
    semantica.save(folder / "copy")
    moved = shutil.move(folder / "copy", tmp_path / "moved")
    for part in ("encoder", "movq"):
        shutil.rmtree(folder / part)
    first, second = (Semantica.load(moved) for _ in range(2))
    drawn = [m.vary(pictures, 1, generator=seeded(1), steps=1) for m in (first, second)]
    assert torch.equal(*drawn)
    for part in ("model", "preprocess"):
        assert type(getattr(first.encoder, part)) is type(getattr(semantica.encoder, part))
    assert first.encoder.preprocess == semantica.encoder.preprocess
    before = semantica.encoder.model.state_dict()
    after = first.encoder.model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("semantica.json", "[]", "holds a list"),
        ("semantica.json", "{", "is no JSON"),
        ("semantica.json", '{"auto_map": {"a": "b"}}', "sets auto_map"),
        ("config.json", '{"_class_name": "UNet1DModel"}', "is of class UNet1DModel; expected"),
        ("diffusion_pytorch_model.safetensors", "weights", "cannot be loaded"),
    ],
)
def test_damaged_files_are_named(folder, name, text, words):
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=words):
        Semantica.load(folder)


def test_a_network_that_cannot_count_pictures_is_refused(folder):
    about = json.loads((folder / "config.json").read_text()) | {"num_class_embeds": None}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="has num_class_embeds None; expected a whole number"):
        Semantica.load(folder)


def test_a_model_describes_itself_in_five_lines(folder):
    semantica = Semantica.load(folder)
    lines = repr(semantica).splitlines()
    weights = sum(p.numel() for p in semantica.unet.parameters()) / 1e6
    encoder = semantica.encoder.name
    assert lines == [
        "Semantica",
        f"  encoder:  {encoder}",
        f"  network:  {weights:.1f} M weights on cpu, float32",
        "  latents:  4 x 4 x 4",
        "  pictures: 16 x 16 pixels",
    ]


@pytest.mark.parametrize("form", [str, Path])
def test_a_saved_model_is_loaded_with_weights_in_half_precision(folder, form):
    semantica = Semantica.load(folder)
    before = {name: value.clone() for name, value in semantica.unet.state_dict().items()}
    target = folder / "copies" / "first"
    semantica.save(form(target))
    for name, value in semantica.unet.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, before[name])
    again = Semantica.load(target)
    assert again.card == semantica.card | {"encoder": "encoder", "movq": "movq"}
    for name, value in again.unet.state_dict().items():
        assert torch.equal(value, before[name].half().float())


def test_a_saved_copy_of_a_saved_model_draws_the_same(folder):
    Semantica.load(folder).save(folder / "first")
    first = Semantica.load(folder / "first")
    first.save(folder / "second")
    second = Semantica.load(folder / "second")
    pictures = torch.rand(1, 2, 3, 16, 16, generator=seeded(0))
    drawn = [model.vary(pictures, 2, generator=seeded(1), steps=2) for model in (first, second)]
    assert torch.equal(drawn[0], drawn[1])


def test_a_model_without_names_of_its_parts_is_not_saved(folder):
    semantica = Semantica.load(folder)
    plain = Semantica(semantica.encoder, semantica.unet, semantica.movq)
    with pytest.raises(InputError, match="card is None"):
        plain.save(folder / "copy")
    assert not (folder / "copy").exists()


def test_a_folder_that_cannot_be_written_is_refused(folder):
    with pytest.raises(InputError, match="folder is"):
        Semantica.load(folder).save(folder / "semantica.json" / "below")


def test_a_network_of_the_second_stack_looks_and_draws_through_it(tmp_path):
    """Its latents have the first one's size, so the wrong autoencoder would not raise an error."""
    torch.manual_seed(0)
    build(width=192, latent=8, channels=(16, 32), layers=1).save_pretrained(tmp_path)
    (tmp_path / "semantica.json").write_text(
        json.dumps({"encoder": "clip", "movq": "menagerie-128"})
    )
    varied = Semantica.load(tmp_path).vary(
        torch.rand(1, 1, 3, 64, 64), 1, generator=seeded(0), steps=1
    )
    assert varied.shape == (1, 1, 3, 128, 128)

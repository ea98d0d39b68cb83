"""Folders whose scheduler was swapped for another one: drawn right, or refused at loading."""

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from creativelib.errors import InputError
from creativelib.unclip.decoders import Karlo
from creativelib.unclip.latent import ddim_inversion, with_ddim
from creativelib.unclip.pipeline import load
from creativelib.unclip.prior import PriorSampling
from creativelib.unclip.schedulers import SCHEDULERS, alpha_bar, with_steps
from stacks import make_kandinsky_22, make_karlo

CPU = torch.device("cpu")
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
# With these, the deterministic ones solve the same equation as DDIM, from the same noise.
SAME_TIMES = BETAS | {"timestep_spacing": "leading", "steps_offset": 1}
SWAPPED = tuple(name for name in SCHEDULERS if name not in ("DDPMScheduler", "UnCLIPScheduler"))
SOLVERS = (
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "UniPCMultistepScheduler",
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(name, **config):
    import diffusers

    return getattr(diffusers, name)(**config)


def scheduled(pipe, scheduler):
    return replace(pipe, decoder=replace(pipe.decoder, scheduler=scheduler))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save a stack of Kandinsky 2.2's classes with its own DDPM, which learns its variance."""
    folder = tmp_path_factory.mktemp("kandinsky")
    make_kandinsky_22(folder / "prior", folder / "decoder")
    return folder


@pytest.fixture(scope="module")
def kandinsky(folder):
    return load(folder, "cpu")


@pytest.fixture(scope="module")
def karlo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("karlo")
    make_karlo(folder, folder / "image_encoder")
    shutil.copytree(folder / "image_encoder", folder / "feature_extractor")
    return load(folder, "cpu")


def swap(folder, place, part, name):
    """Copy a stack, with another scheduler made from its own one's configuration."""
    import diffusers

    shutil.copytree(folder, place)
    own = json.loads((place / part / "scheduler_config.json").read_text())
    del own["_class_name"]
    getattr(diffusers, name).from_config(own).save_pretrained(place / part)
    return place


@pytest.fixture
def z():
    return torch.randn(2, 2, 16, generator=seeded(5))


@pytest.fixture
def noise():
    return torch.randn(2, 2, 4, 4, 4, generator=seeded(6))


@pytest.mark.parametrize("name", SWAPPED)
def test_a_swapped_folder_draws_what_the_scheduler_alone_draws(
    folder, kandinsky, tmp_path, name, z, noise
):
    """A configuration that was made from DDPM's names a learned variance that nothing takes."""
    pipe = load(swap(folder, tmp_path / "swapped", "decoder/scheduler", name), "cpu")
    config = dict(pipe.decoder.scheduler.config)
    assert type(pipe.decoder.scheduler).__name__ == name
    assert config["variance_type"] == "learned_range"
    plain = type(pipe.decoder.scheduler).from_config(
        {key: value for key, value in config.items() if key != "variance_type"}
    )
    drawn, expected = (
        each.decode(z, noise=noise, generator=seeded(1), steps=4, guidance=3.0)
        for each in (pipe, scheduled(kandinsky, plain))
    )
    assert torch.equal(drawn, expected) and drawn.std() > 0.01


@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler", "LCMScheduler"]
)
def test_plain_diffusers_draws_the_same(kandinsky, name, z, noise):
    """Its pipeline leaves out what the others need, such as Euler's scaled inputs."""
    from diffusers import KandinskyV22Pipeline

    pipe = scheduled(kandinsky, made(name, **BETAS))
    decoder = pipe.decoder
    plain = KandinskyV22Pipeline(decoder.unet, copy.deepcopy(decoder.scheduler), decoder.movq)
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        z.flatten(0, 1),
        pipe._blank.expand(4, -1),
        height=16,
        width=16,
        num_inference_steps=5,
        guidance_scale=3.0,
        generator=seeded(1),
        latents=noise.flatten(0, 1).clone(),
        output_type="np",
    ).images
    ours = pipe.decode(z, noise=noise, generator=seeded(1), steps=5, guidance=3.0)
    assert np.abs(ours.flatten(0, 1).permute(0, 2, 3, 1).numpy() - expected).max() < 1e-4


def test_euler_is_ddim_in_other_coordinates(kandinsky, z, noise):
    euler, ddim = (
        scheduled(kandinsky, scheduler).decode(
            z, noise=noise, generator=seeded(1), steps=7, guidance=3.0
        )
        for scheduler in (
            made("EulerDiscreteScheduler", **SAME_TIMES),
            made("DDIMScheduler", clip_sample=False, **SAME_TIMES),
        )
    )
    torch.testing.assert_close(euler, ddim, atol=1e-3, rtol=0)


def test_solvers_agree_in_the_limit_of_many_steps(kandinsky, z, noise):
    def solve(name, steps, **config):
        pipe = scheduled(kandinsky, made(name, **SAME_TIMES, **config))
        return pipe.decode(
            z[:1, :1], noise=noise[:1, :1], generator=seeded(), steps=steps, guidance=1.0
        )

    ddim = solve("DDIMScheduler", 50, clip_sample=False)
    for name in SOLVERS:
        assert (solve(name, 15) - ddim).abs().mean() < 0.1 * ddim.std()


@pytest.mark.parametrize("name", ["EulerAncestralDiscreteScheduler", "LCMScheduler"])
def test_random_steps_take_the_generators_noise(kandinsky, name, z, noise):
    pipe = scheduled(kandinsky, made(name, **BETAS))
    one, again, other = (
        pipe.decode(z, noise=noise, generator=seeded(seed), steps=4) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.allclose(one, other, atol=1e-2)
    alone = pipe.decode(z[1:], noise=noise[1:], generator=[seeded(2)], steps=4)
    rows = pipe.decode(z, noise=noise, generator=[seeded(1), seeded(2)], steps=4)
    torch.testing.assert_close(rows[1:], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", SWAPPED)
def test_clean_latents_are_found_whatever_the_scheduler(kandinsky, name, prediction, z, noise):
    """A function of the clean latents that changes nothing changes nothing."""
    pipe = scheduled(kandinsky, made(name, prediction_type=prediction, **BETAS))
    calls = []
    plain, edited = (
        pipe.decode(z, noise=noise, generator=seeded(1), steps=4, denoised_fn=denoised_fn)
        for denoised_fn in (None, lambda x, done: calls.append(done) or x)
    )
    torch.testing.assert_close(plain, edited, atol=1e-3, rtol=0)
    assert calls == [i / 3 for i in range(4)]


def test_a_network_that_predicts_clean_latents(kandinsky, z, noise):
    pipe = scheduled(kandinsky, made("DDIMScheduler", prediction_type="sample", **BETAS))
    drawn = pipe.decode(
        z,
        noise=noise,
        generator=seeded(1),
        steps=3,
        denoised_fn=lambda x, done: torch.full_like(x, 0.3),
    )
    expected = pipe.render_latents(torch.full((1, 4, 4, 4), 0.3))
    torch.testing.assert_close(drawn, expected.expand_as(drawn), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SOLVERS)
def test_alpha_bar_is_that_of_the_timestep(name):
    own = with_steps(made(name, **SAME_TIMES), 5, CPU)
    ddim = with_steps(made("DDIMScheduler", **SAME_TIMES), 5, CPU)
    for index in range(5):
        torch.testing.assert_close(
            alpha_bar(own, index), ddim.alphas_cumprod[own.timesteps[index].long()]
        )


def test_inversion_from_a_scheduler_that_clips_nothing(kandinsky):
    tools = with_ddim(scheduled(kandinsky, made("EulerDiscreteScheduler", **SAME_TIMES)))
    assert not tools.decoder.scheduler.config.clip_sample
    with pytest.raises(InputError, match="steps is 1001; expected 1 to 1000 for DDIMScheduler"):
        ddim_inversion(tools, torch.rand(1, 3, 16, 16), steps=1001)


# What is refused.


@pytest.mark.parametrize(
    ("part", "name", "words"),
    [
        (
            "decoder/scheduler",
            "HeunDiscreteScheduler",
            "is of class HeunDisc",
        ),
        (
            "decoder/scheduler",
            "PNDMScheduler",
            "is of class PNDM.*; expected DDIM",
        ),
        ("prior/scheduler", "DDIMScheduler", "scheduler is of class DDIMScheduler .* UnCLIPSched"),
        ("prior/scheduler", "EulerDiscreteScheduler", "prior's scheduler is of class EulerDisc"),
    ],
)
def test_other_schedulers_are_refused_at_loading(folder, tmp_path, monkeypatch, part, name, words):
    place = swap(folder, tmp_path / "swapped", part, name)

    def too_early(*_: object) -> None:
        raise AssertionError("a network is loaded before its scheduler is checked")

    monkeypatch.setattr("creativelib.unclip.loading.load_frozen", too_early)
    with pytest.raises(InputError, match=words):
        load(place, "cpu")


def test_an_unknown_class_is_refused_at_loading(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "odd")
    file = tmp_path / "odd" / "decoder" / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(InputError, match="UNet2DModel"):
        load(tmp_path / "odd", "cpu")


def test_decoders_made_by_hand_are_refused(kandinsky, karlo):
    for scheduler, words in (
        (
            made("HeunDiscreteScheduler"),
            "the decoder's scheduler is of class Heun",
        ),
        (
            made("DPMSolverMultistepScheduler", use_flow_sigmas=True),
            "predicts 'epsilon' with use_flow_sigmas True",
        ),
        (
            made("UniPCMultistepScheduler", prediction_type="flow_prediction"),
            "predicts 'flow_prediction'",
        ),
    ):
        with pytest.raises(InputError, match=words):
            scheduled(kandinsky, scheduler)
    fields = vars(karlo.decoder)
    with pytest.raises(InputError, match="super-resolution's scheduler is of class DDIMScheduler"):
        Karlo(**fields | {"super_scheduler": made("DDIMScheduler")})
    unet = copy.deepcopy(kandinsky.decoder.unet)
    unet.register_to_config(out_channels=4)
    with pytest.raises(InputError, match="'learned_range' from the network; expected 8 channels"):
        replace(kandinsky.decoder, unet=unet)


def test_steps_that_a_scheduler_cannot_take(kandinsky, karlo, z):
    lcm = scheduled(kandinsky, made("LCMScheduler"))
    euler = scheduled(kandinsky, made("EulerDiscreteScheduler"))
    for pipe, steps, words in (
        (karlo, 1, "steps is 1; expected 2 to 1000 for UnCLIPScheduler"),
        (karlo, 1001, "steps is 1001"),
        (lcm, 51, "steps is 51; expected 1 to 50 for LCMScheduler"),
        (euler, 1001, "steps is 1001; expected 1 to 1000 for EulerDiscreteScheduler"),
        (euler, 0, "steps is 0"),
    ):
        with pytest.raises(InputError, match=words):
            pipe.decode(z, generator=seeded(), steps=steps)
    with pytest.raises(InputError, match="steps is 1001; expected at most 1000"):
        kandinsky.sample_prior(
            kandinsky.encode_text(["a pet"]), 1, noise=seeded(), sampling=PriorSampling(steps=1001)
        )
    assert karlo.decode(z, generator=seeded(), steps=2).isfinite().all()
    assert lcm.decode(z, generator=seeded(), steps=1).isfinite().all()

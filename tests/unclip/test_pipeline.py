"""The pipeline's four functions against plain diffusers and transformers on the same files."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from creativelib.errors import InputError
from creativelib.pictures import Preprocess
from creativelib.unclip.pipeline import load
from creativelib.unclip.prior import PriorSampling

PROMPTS = ["a photo of a pet", "a red plant"]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def plain_prior(stack):
    from diffusers import KandinskyV22PriorPipeline

    plain = KandinskyV22PriorPipeline.from_pretrained(stack / "prior")
    plain.set_progress_bar_config(disable=True)
    return plain


@pytest.fixture(scope="module")
def plain_decoder(stack):
    from diffusers import KandinskyV22Pipeline

    plain = KandinskyV22Pipeline.from_pretrained(stack / "decoder")
    plain.set_progress_bar_config(disable=True)
    return plain


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_prior_equals_plain_diffusers(pipe, plain_prior, guidance):
    expected = plain_prior(
        PROMPTS,
        num_images_per_prompt=3,
        num_inference_steps=4,
        guidance_scale=guidance,
        generator=seeded(1),
    )
    z = pipe.sample_prior(
        pipe.encode_text(PROMPTS),
        n=3,
        noise=seeded(1),
        sampling=PriorSampling(guidance=guidance, steps=4),
    )
    assert z.shape == (2, 3, 16)
    assert torch.allclose(z.flatten(0, 1), expected.image_embeds, atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_decoder_equals_plain_diffusers(pipe, plain_prior, plain_decoder, guidance):
    z = torch.randn(2, 2, 16, generator=seeded(2))
    expected = plain_decoder(
        image_embeds=z.flatten(0, 1),
        negative_image_embeds=plain_prior.get_zero_embed(4),
        height=16,
        width=16,
        num_inference_steps=5,
        guidance_scale=guidance,
        generator=seeded(3),
        output_type="np",
    ).images
    pictures = pipe.decode(z, steps=5, guidance=guidance, generator=seeded(3))
    assert pictures.shape == (2, 2, 3, 16, 16)
    assert np.abs(pictures.flatten(0, 1).permute(0, 2, 3, 1).numpy() - expected).max() < 2 / 255
    assert pictures.std() > 0.01


def test_text_condition_equals_the_text_encoder(pipe, plain_prior):
    pooled, tokens, mask = plain_prior._encode_prompt(PROMPTS, "cpu", 1, False)
    cond = pipe.encode_text(PROMPTS)
    assert cond.used == cond.tokens.shape[1] == 7  # padding is left out
    assert torch.equal(cond.mask, mask[:, :7]) and not mask[:, 7:].any()
    assert torch.allclose(cond.pooled, pooled, atol=1e-6)
    assert torch.allclose(cond.tokens, tokens[:, :7], atol=1e-6)


@pytest.fixture
def processor(stack):
    """Load the processor of tensors; in the first transformers 5 the other one rounds."""
    import transformers

    of_tensors = getattr(transformers, "CLIPImageProcessorFast", transformers.CLIPImageProcessor)
    return of_tensors.from_pretrained(stack / "prior" / "image_processor")


@pytest.fixture
def pixels_seen(pipe):
    """Record what reaches the image encoder."""
    inputs_seen = []
    hook = pipe.image_encoder.register_forward_pre_hook(
        lambda _module, inputs: inputs_seen.append(inputs[0])
    )
    yield inputs_seen
    hook.remove()


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (33, 50), (70, 24), (9, 11)])
def test_images_equal_the_image_processor(pipe, processor, pixels_seen, size):
    picture = 0.3 + 0.4 * torch.rand(3, *size, generator=seeded(4))
    pipe.encode_images(picture)
    expected = processor(picture, do_rescale=False, return_tensors="pt").pixel_values
    assert torch.allclose(pixels_seen[0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (9, 11)])
def test_images_equal_the_image_processor_in_8_bits(pipe, processor, pixels_seen, size):
    """At a hard black and white edge, bicubic resizing overshoots and 8 bits clamp."""
    pixels = torch.zeros(*size, 3, dtype=torch.uint8)
    pixels[:, size[1] // 2 :] = 255
    pipe.encode_images(pixels.permute(2, 0, 1) / 255)
    expected = processor(Image.fromarray(pixels.numpy()), return_tensors="pt").pixel_values
    assert (pixels_seen[0] - expected).abs().max() <= 1.01 / 255 / 0.26


@pytest.mark.parametrize(
    ("about", "allowed"),
    [
        ({"size": 224, "crop_size": 224}, True),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, True),
        ({"size": {"height": 224, "width": 224}, "crop_size": 224}, False),
        ({"size": 224, "crop_size": {"height": 224, "width": 96}}, False),
        ({"size": 96, "crop_size": 224}, False),
        ({"size": 224, "crop_size": 224, "resample": 2}, False),
    ],
)
def test_preprocessing_is_read_or_refused(tmp_path, about, allowed):
    numbers = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(about | numbers))
    if allowed:
        assert Preprocess.read(tmp_path).crop == 224
    else:
        with pytest.raises(InputError, match=r"preprocessor_config\.json' asks for size"):
            Preprocess.read(tmp_path)
    with pytest.raises(InputError, match="has no preprocessor_config"):
        Preprocess.read(tmp_path / "nowhere")


def test_images_keep_leading_axes(pipe):
    pictures = torch.rand(2, 3, 3, 16, 16, generator=seeded(5))
    embeddings = pipe.encode_images(pictures)
    assert embeddings.shape == (2, 3, 16)
    assert torch.allclose(embeddings[1, 2], pipe.encode_images(pictures[1, 2]), atol=1e-5)


def test_chunks_do_not_change_results(pipe, monkeypatch):
    cond = pipe.encode_text(PROMPTS)
    z = pipe.sample_prior(cond, n=5, noise=seeded(6))
    pictures = pipe.decode(z, steps=3, generator=seeded(6))
    monkeypatch.setattr("creativelib.unclip.prior.EMBEDDING_ROWS", 3)
    monkeypatch.setattr("creativelib.unclip.pipeline.PICTURE_ROWS", 3)
    monkeypatch.setattr("creativelib.unclip.decoders.PICTURE_ROWS", 3)
    assert torch.allclose(pipe.sample_prior(cond, n=5, noise=seeded(6)), z, atol=1e-5)
    assert torch.allclose(pipe.decode(z, steps=3, generator=seeded(6)), pictures, atol=1e-4)


def test_own_generators_make_conditions_independent(pipe):
    together = pipe.sample_prior(pipe.encode_text(PROMPTS), n=3, noise=[seeded(1), seeded(2)])
    alone = pipe.sample_prior(pipe.encode_text(PROMPTS[1:]), n=3, noise=[seeded(2)])
    assert torch.allclose(together[1:], alone, atol=1e-5)
    pictures = pipe.decode(together, steps=3, generator=[seeded(1), seeded(2)])
    assert torch.allclose(
        pictures[1:], pipe.decode(together[1:], steps=3, generator=[seeded(2)]), atol=1e-4
    )


def test_prior_gradient_equals_finite_differences(stack):
    pipe = load(stack, device="cpu", dtype=torch.float64)
    token = pipe.token_ids(["a photo of a pet"])[0, 5]
    vector = pipe.token_table[token][None].clone()
    weights = torch.randn(16, generator=seeded(7), dtype=torch.float64)

    def value(vectors):
        cond = pipe.encode_spliced("a photo of a pet", 5, vectors)
        return (
            pipe.sample_prior(cond, n=2, noise=seeded(8), sampling=PriorSampling(steps=3)).double()
            @ weights
        ).sum()

    vector.requires_grad_()
    (gradient,) = torch.autograd.grad(value(vector), vector)
    direction = torch.randn(vector.shape, generator=seeded(9), dtype=torch.float64)
    step = 1e-4
    numeric = (
        value(vector.detach() + step * direction) - value(vector.detach() - step * direction)
    ) / (2 * step)
    assert gradient.abs().max() > 1e-3
    assert numeric.item() == pytest.approx((gradient * direction).sum().item(), rel=2e-2)


def test_images_and_pictures_carry_gradients(pipe):
    picture = torch.rand(1, 3, 20, 20, generator=seeded(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(pipe.encode_images(picture).sum(), picture)
    assert gradient.abs().max() > 0
    z = torch.randn(1, 1, 16, generator=seeded(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(pipe.decode(z, steps=2, generator=seeded(1)).sum(), z)
    assert gradient.abs().max() > 0
    assert not pipe.decode(z.detach(), steps=2, generator=seeded(1)).requires_grad


def test_unknown_words(pipe):
    assert pipe.unknown_words("a photo of a Pet") == []
    assert pipe.unknown_words("a photo of a gryphon with ears") == ["gryphon"]
    assert pipe.encode_text(["a gryphon"]).pooled.isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pipe: pipe.encode_text([]), "prompts"),
        (lambda pipe: pipe.encode_text("a pet"), "prompts"),
        (lambda pipe: pipe.encode_text(["a " * 40]), "40 tokens; expected at most 14"),
        (lambda pipe: pipe.sample_prior(pipe.encode_text(PROMPTS), n=0, noise=seeded(0)), "n is 0"),
        (
            lambda pipe: pipe.sample_prior(
                pipe.encode_text(PROMPTS), n=1, noise=seeded(0), sampling=PriorSampling(steps=1)
            ),
            "steps is 1",
        ),
        (
            lambda pipe: pipe.sample_prior(pipe.encode_text(PROMPTS), n=1, noise=[seeded(0)]),
            "list of 1",
        ),
        (
            lambda pipe: pipe.decode(torch.zeros(1, 1, 16), steps=0, generator=seeded(0)),
            "steps is 0",
        ),
    ],
)
def test_bad_input(pipe, call, words):
    with pytest.raises(InputError, match=words):
        call(pipe)


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_unknown_device(stack, device):
    with pytest.raises(InputError, match=f"device is '{device}'"):
        load(stack, device=device)


def test_half_precision_files_load_in_float32(stack, pipe):
    half = load(stack, device="cpu", dtype=torch.bfloat16)
    z = half.sample_prior(half.encode_text(PROMPTS), n=2, noise=seeded(0))
    assert half.dtype == torch.bfloat16 and z.dtype == torch.float32
    assert half.decode(z, steps=2, generator=seeded(0)).dtype == torch.float32


def test_import_stays_light():
    code = (
        "import sys, creativelib\n"
        "assert not {'diffusers', 'transformers'} & set(sys.modules)\n"
        # The first transformers 5 imports scikit-learn.
        "import transformers.generation.utils\n"
        "others = set(sys.modules)\n"
        "creativelib.load('menagerie', 'cpu')\n"
        "own = set(sys.modules) - others\n"
        "assert not {'open_clip', 'sklearn', 'matplotlib', 'pandas', 'tyro'} & own"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_a_denoised_fn_that_changes_nothing_changes_nothing(pipe, prediction):
    own = pipe.decoder.scheduler
    scheduler = type(own).from_config(
        own.config, prediction_type=prediction, rescale_betas_zero_snr=prediction == "v_prediction"
    )
    pipe = replace(pipe, decoder=replace(pipe.decoder, scheduler=scheduler))
    z = torch.randn(2, 2, 16, generator=torch.Generator().manual_seed(0))
    plain, edited = (
        pipe.decode(z, generator=torch.Generator().manual_seed(1), steps=4, denoised_fn=denoised_fn)
        for denoised_fn in (None, lambda x, done: x)
    )
    assert torch.allclose(plain, edited, atol=1e-4)
    calls = []
    pipe.decode(
        z,
        generator=torch.Generator().manual_seed(1),
        steps=4,
        denoised_fn=lambda x, done: calls.append((x.shape[:2], done)) or x,
    )
    assert calls == [((2, 2), i / 3) for i in range(4)]


def test_what_a_denoised_fn_returns_is_predicted(pipe):
    """If every step's clean latents are replaced by the same ones, these are decoded."""
    z = torch.randn(1, 2, 16, generator=torch.Generator().manual_seed(0))
    wanted = []

    def constant(latents, done):
        wanted.append(torch.full_like(latents, 0.3))
        return wanted[-1]

    picture = pipe.decode(
        z, generator=torch.Generator().manual_seed(1), steps=4, denoised_fn=constant
    )
    assert torch.allclose(picture[0], pipe.render_latents(wanted[-1][0]), atol=1e-2)


def test_negative_prompting_leads_away_from_the_negative(menagerie):
    cond = menagerie.encode_text(["a photo of a pet"])
    cat = menagerie.encode_text(["a photo of a cat"])
    with torch.no_grad():
        draws = {
            name: menagerie.sample_prior(
                cond,
                64,
                noise=torch.Generator().manual_seed(0),
                negative=negative,
                sampling=PriorSampling(guidance=3.0),
            )
            for name, negative in (("empty", None), ("cat", cat))
        }
    like = {
        name: torch.nn.functional.cosine_similarity(z, cat.pooled, dim=-1).mean()
        for name, z in draws.items()
    }
    assert like["cat"] < like["empty"] - 0.02


def test_each_condition_may_have_its_own_negative(menagerie):
    """Each is drawn as it would be alone."""
    cond, away = (
        menagerie.encode_text([f"a photo of a {word}" for word in words])
        for words in (("pet", "plant"), ("cat", "rose"))
    )

    def seeds():
        return [torch.Generator().manual_seed(i) for i in range(2)]

    both = menagerie.sample_prior(
        cond, 3, noise=seeds(), negative=away, sampling=PriorSampling(guidance=3.0)
    )
    for i, prompts in enumerate(
        (("a photo of a pet", "a photo of a cat"), ("a photo of a plant", "a photo of a rose"))
    ):
        own, against = (menagerie.encode_text([prompt]) for prompt in prompts)
        alone = menagerie.sample_prior(
            own, 3, noise=[seeds()[i]], negative=against, sampling=PriorSampling(guidance=3.0)
        )
        assert torch.allclose(both[i], alone[0], atol=1e-4)
    three = menagerie.encode_text(["a photo of a cat"] * 3)
    with pytest.raises(
        InputError, match="negative holds 3 conditions; expected one, or one for each of the 2"
    ):
        menagerie.sample_prior(
            cond, 1, noise=seeds(), negative=three, sampling=PriorSampling(guidance=3.0)
        )


def test_the_empty_prompt_and_the_blank_picture_are_the_default_negatives(pipe):
    cond = pipe.encode_text(["a photo of a pet"])
    generator = partial(torch.Generator().manual_seed, 0)
    z = pipe.sample_prior(cond, 2, noise=generator(), sampling=PriorSampling(guidance=2.0))
    assert torch.equal(
        pipe.sample_prior(
            cond,
            2,
            noise=generator(),
            negative=pipe.encode_text([""]),
            sampling=PriorSampling(guidance=2.0),
        ),
        z,
    )
    pictures = pipe.decode(z, generator=generator())
    assert torch.equal(
        pipe.decode(z, generator=generator(), negative=pipe._blank[None].expand_as(z)), pictures
    )
    assert not torch.equal(pipe.decode(z, generator=generator(), negative=z.flip(1)), pictures)
    for draw in (
        lambda: pipe.sample_prior(cond, 1, noise=generator(), negative=cond),
        lambda: pipe.decode(z, generator=generator(), guidance=1.0, negative=z),
    ):
        with pytest.raises(InputError, match="guidance is 1.0 with a negative"):
            draw()

"""The models that ship with the package: complete, small, standard, good in their world."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from creativelib.models.names import MODELS
from creativelib.unclip.pipeline import load
from creativelib.unclip.prior import PriorSampling
from creativelib.vision.judge import Judge
from creativelib.vision.vqa import BlipVqa, is_a, what_kind
from creativelib.world import CATEGORIES, captions
from creativelib.world.scenes import draw, sample_scenes

PROMPTS = ["a photo of a cat", "a neon sign of a red castle"]
BUDGETS = {  # MiB
    "menagerie": {
        "prior/text_encoder": 1.0,
        "prior/image_encoder": 2.0,
        "prior/prior": 4.0,
        "decoder/movq": 3.0,
        "decoder/unet": 10.0,
        "oracle": 3.6,
        "judge": 3.0,
        "vqa": 5.0,
        "autoregressive": 3.0,
        "semantica/pairs": 4.5,
        "semantica/control": 4.5,
        "dino": 2.0,
    },
    "menagerie-128": {
        "prior/text_encoder": 2.0,
        "prior/image_encoder": 6.0,
        "prior/prior": 4.0,
        "decoder/movq": 6.0,
        "decoder/unet": 15.0,
    },
}
PARTS = [(model, part) for model, parts in BUDGETS.items() for part in parts]


@pytest.fixture(scope="module", params=BUDGETS)
def stack(request):
    """Each of the two stacks that ship."""
    return load(request.param, device="cpu")


@pytest.fixture
def folder(stack):
    return MODELS[stack.name].folder


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_every_file_is_summed_and_nothing_but_safetensors_and_text(folder):
    listed = set(json.loads((folder / "sha256.json").read_text()))
    present = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()} - {
        "sha256.json"
    }
    assert listed == present
    assert {f.rsplit(".", 1)[-1] for f in present} <= {"safetensors", "json", "txt"}


@pytest.mark.parametrize(("model", "part"), PARTS)
def test_every_part_keeps_its_budget(model, part):
    size = sum(f.stat().st_size for f in (MODELS[model].folder / part).glob("*.safetensors"))
    assert 0 < size <= BUDGETS[model][part] * 2**20


def test_no_file_is_too_large_to_pass_around(folder):
    assert all(file.stat().st_size < 16 * 2**20 for file in folder.rglob("*.safetensors"))


def test_plain_diffusers_gives_the_same_embeddings(folder, stack):
    from diffusers import KandinskyV22PriorPipeline

    plain = KandinskyV22PriorPipeline.from_pretrained(folder / "prior").to(torch.float32)
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        PROMPTS,
        num_images_per_prompt=2,
        num_inference_steps=5,
        guidance_scale=2.0,
        generator=seeded(1),
    )
    z = stack.sample_prior(
        stack.encode_text(PROMPTS),
        n=2,
        noise=seeded(1),
        sampling=PriorSampling(guidance=2.0, steps=5),
    )
    assert torch.allclose(z.flatten(0, 1), expected.image_embeds, atol=1e-4)


def test_plain_diffusers_gives_the_same_pictures(folder, stack):
    from diffusers import KandinskyV22Pipeline

    plain = KandinskyV22Pipeline.from_pretrained(folder / "decoder").to(torch.float32)
    plain.set_progress_bar_config(disable=True)
    z = stack.sample_prior(stack.encode_text(PROMPTS), n=1, noise=seeded(1)).flatten(0, 1)
    side = stack.decoder.side
    blank = stack.image_encoder(torch.zeros(1, 3, side, side)).image_embeds.expand(2, -1)
    expected = plain(
        image_embeds=z,
        negative_image_embeds=blank,
        height=side,
        width=side,
        num_inference_steps=8,
        guidance_scale=2.0,
        generator=seeded(3),
        output_type="np",
    ).images
    pictures = stack.decode(z[None], steps=8, guidance=2.0, generator=seeded(3))[0]
    assert np.abs(pictures.permute(0, 2, 3, 1).numpy() - expected).max() < 2 / 255


def test_every_word_of_the_world_is_known(stack):
    assert stack.unknown_words(" ".join(captions.words(CATEGORIES))) == []
    assert stack.unknown_words("a photo of a zebra") == ["zebra"]


def test_clip_tells_the_categories_apart(stack):
    """A coarse check that the right weights are bundled; benchmarks/models/bundled.py measures."""
    scenes = sample_scenes(48, seeded(0), wild=0.0)
    z = stack.encode_images(draw(scenes, stack.decoder.side))
    text = stack.encode_text([f"a photo of {captions.article(c.name)}" for c in CATEGORIES]).pooled
    found = cosine_similarity(z[:, None], text[None], dim=-1).argmax(1)
    assert (found == scenes.category).float().mean() > 0.9


def test_the_autoencoder_keeps_pictures(stack):
    x = draw(sample_scenes(12, seeded(1)), stack.decoder.side)
    latents = stack.decoder.encode(x)
    out = stack.decoder.render(latents).clamp(0, 1)
    assert (-10 * (out - x).square().mean((1, 2, 3)).log10()).mean() > 26
    assert latents.mean().abs() < 0.2 and 0.8 < latents.std() < 1.2


def test_the_judge_knows_the_world():
    scenes = sample_scenes(160, seeded(5), 0.0)
    prompts = [f"a photo of {captions.article(c.name)}" for c in CATEGORIES]
    assert (Judge.load().classify(draw(scenes), prompts) == scenes.category).float().mean() > 0.95


def test_the_vqa_answers_rightly():
    scenes = sample_scenes(120, seeded(6), 0.0, "pet")
    vqa = BlipVqa.load()
    pictures = draw(scenes)
    names = list(CATEGORIES[0].species)
    kinds = vqa.ask(pictures, what_kind("pet"))
    assert (
        sum(kind == names[int(s)] for kind, s in zip(kinds, scenes.species, strict=True))
        > 0.9 * 120
    )
    assert vqa.ask(pictures, is_a("pet")).count("yes") > 0.9 * 120
    assert vqa.ask(pictures, is_a("plant")).count("no") > 0.9 * 120

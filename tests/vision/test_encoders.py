"""Encoders of both classes: shapes, preprocessing as in the libraries' processors, refusals."""

import json

import pytest
import torch
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
)

from creativelib.errors import InputError
from creativelib.vision.encoders import Encoder
from creativelib.world.scenes import draw, sample_scenes
from stacks import COMMIT

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


@pytest.fixture(params=["clip", "dinov2"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    if request.param == "clip":
        model = CLIPVisionModelWithProjection(
            CLIPVisionConfig(**SMALL, intermediate_size=32, projection_dim=12)
        )
    else:
        model = Dinov2Model(Dinov2Config(**SMALL, mlp_ratio=2))
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16).save_pretrained(folder)
    return folder


def test_a_token_for_the_picture_and_one_for_each_patch(folder):
    encoder = Encoder.load(folder)
    encoded = encoder.encode(torch.rand(3, 3, 20, 24))
    assert encoded.tokens.shape == (3, 5, 16) and encoder.width == 16
    assert torch.allclose(encoded.pooled.norm(dim=-1), torch.ones(3), atol=1e-5)
    assert not any(p.requires_grad for p in encoder.model.parameters())


def test_pictures_are_prepared_as_the_librarys_processor_does(folder):
    encoder = Encoder.load(folder)
    pixels = torch.randint(
        256, (16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    prepared = CLIPImageProcessor.from_pretrained(folder)(
        Image.fromarray(pixels.numpy()), return_tensors="pt"
    ).pixel_values
    output = encoder.model(prepared)
    last = output.last_hidden_state
    tokens = (
        encoder.model.vision_model.post_layernorm(last) if hasattr(output, "image_embeds") else last
    )
    ours = encoder.encode(pixels.permute(2, 0, 1)[None].float() / 255)
    assert torch.allclose(ours.tokens, tokens, atol=1e-4)


def test_tokens_are_of_one_size_in_both_classes(folder):
    """CLIP's own last layer leaves patches unnormalized, and outliers would drown the rest."""
    tokens = Encoder.load(folder).encode(torch.rand(4, 3, 16, 16)).tokens
    assert torch.allclose(tokens.std(-1), torch.ones(4, 5), atol=0.1)


def test_another_kind_of_model_is_refused(folder):
    about = json.loads((folder / "config.json").read_text()) | {"model_type": "vit"}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="is a 'vit'; expected clip_vision_model"):
        Encoder.load(folder)


def test_sizes_may_be_numbers(folder):
    """As older files have them, which transformers still reads."""
    about = json.loads((folder / "preprocessor_config.json").read_text()) | {
        "size": 20,
        "crop_size": 16,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    encoder = Encoder.load(folder)
    assert (encoder.preprocess.edge, encoder.preprocess.crop) == (20, 16)


def test_an_encoder_is_found_on_the_hub_by_its_id(folder, cache):
    cache(folder, "owner/name")
    picture = torch.rand(1, 3, 16, 16)
    expected = Encoder.load(folder).encode(picture).tokens
    for revision in (None, "main", COMMIT):
        assert torch.equal(
            Encoder.load("owner/name", revision=revision).encode(picture).tokens, expected
        )
    for repo, revision in (("owner/other", None), ("owner/name", "f" * 40)):
        with pytest.raises(InputError, match=f"model '{repo}'.* is not whole in the cache"):
            Encoder.load(repo, revision=revision)


def test_weights_that_are_pickles_are_not_read(folder, cache):
    torch.save({}, cache(folder, "owner/name", "*.safetensors") / "pytorch_model.bin")
    with pytest.raises(InputError, match="weights in safetensors are missing"):
        Encoder.load("owner/name")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_encoder_on_a_gpu_sees_as_on_a_cpu(folder):
    pictures = torch.rand(3, 3, 20, 24)
    on_gpu = Encoder.load(folder, "cuda").encode(pictures)
    on_cpu = Encoder.load(folder).encode(pictures)
    assert torch.allclose(on_gpu.tokens.cpu(), on_cpu.tokens, atol=1e-2)
    assert torch.allclose(on_gpu.pooled.cpu(), on_cpu.pooled, atol=1e-2)


def test_the_repr_is_short(folder):
    encoder = Encoder.load(folder)
    weights = sum(p.numel() for p in encoder.model.parameters()) / 1e6
    assert repr(encoder) == (
        f"Encoder({str(folder)!r}: {weights:.1f} M weights on cpu, float32)\n"
        "  pictures of 16 x 16, tokens of 16"
    )


def test_unknown_names_and_empty_folders_are_refused(tmp_path, cache):
    with pytest.raises(InputError, match="model 'resnet' is not whole in the cache"):
        Encoder.load("resnet")
    with pytest.raises(InputError, match="expected clip, dino, or a folder"):
        Encoder.load(tmp_path)


def test_the_bundled_clip_is_the_pipelines():
    from creativelib import load

    pipe = load("menagerie", "cpu")
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        ours = Encoder.load("clip").encode(pictures).pooled
        theirs = pipe.encode_images(pictures)
    assert torch.allclose(ours, torch.nn.functional.normalize(theirs, dim=-1), atol=1e-5)


def test_the_bundled_dino_tells_how_things_are_drawn():
    """The nearest picture has the same ground, and seldom the same category, as the card says."""
    scenes = sample_scenes(160, torch.Generator().manual_seed(3), 0.0)
    with torch.no_grad():
        encoded = Encoder.load("dino").encode(draw(scenes))
    assert encoded.tokens.shape == (160, 65, 128)
    assert torch.allclose(encoded.pooled.norm(dim=1), torch.ones(160))
    nearest = (encoded.pooled @ encoded.pooled.T).fill_diagonal_(-1).argmax(1)
    same = {"ground": scenes.style[:, 0], "category": scenes.category}
    share = {
        name: (values[nearest] == values).float().mean().item() for name, values in same.items()
    }
    assert share["ground"] > 0.9 and share["category"] < 0.5


def test_a_stack_that_is_not_bundled_is_refused():
    with pytest.raises(
        InputError, match="stack is 'kandinsky-2-1'; expected menagerie, menagerie-128"
    ):
        Encoder.load("clip", stack="kandinsky-2-1")

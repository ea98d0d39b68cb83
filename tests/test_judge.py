"""The judge: a tiny random open_clip model, saved as folders are and loaded through open_clip's own code."""

import json

import pytest
import torch
from safetensors.torch import save_file

from creativelib.errors import InputError
from creativelib.judge import Judge
from creativelib.training import tokenizer
from creativelib.training.judge import model_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from open_clip.model import CLIP

    folder, words = tmp_path_factory.mktemp("judge"), tokenizer.build()
    config = model_config(words)
    torch.manual_seed(0)
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"] | {"hf_tokenizer_name": None, "tokenizer_kwargs": None})
    save_file({k: v.half().contiguous() if v.is_floating_point() else v for k, v in model.state_dict().items()},
              folder / "open_clip_model.safetensors")
    preprocess = {"size": 64, "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def judge(folder):
    return Judge.load(folder)


def test_pictures_and_texts_become_unit_vectors(judge):
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for embeddings in (judge.encode_images(pictures), judge.encode_text(["a photo of a pet", "a plant", "a red cat with long ears"])):
        assert embeddings.shape == (3, 64)
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)


def test_each_text_has_its_own_embedding(judge):
    """Padding is not pooled: the end of the text is found, however long it is."""
    one, longer = judge.encode_text(["a pet", "a pet with long ears"])
    assert not torch.allclose(one, longer, atol=1e-3)
    again = judge.encode_text(["a pet", "a photo of a musical instrument with a long neck and a round body"])[0]
    assert torch.allclose(one, again, atol=1e-5)


def test_classify_takes_the_nearest_prompt(judge):
    pictures = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    prompts = ["a pet", "a plant", "a fruit"]
    expected = (judge.encode_images(pictures) @ judge.encode_text(prompts).T).argmax(1)
    assert torch.equal(judge.classify(pictures, prompts), expected)


def test_other_sizes_are_fitted(judge):
    assert judge.encode_images(torch.rand(1, 3, 96, 80)).shape == (1, 64)


@pytest.mark.parametrize(("call", "words"), [
    (lambda folder: Judge.load(folder / "nowhere"), "judge is"),
    (lambda folder: Judge.load(folder, device="moon"), "device is 'moon'"),
])
def test_bad_input(folder, call, words):
    with pytest.raises(InputError, match=words):
        call(folder)

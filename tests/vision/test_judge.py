"""The judge: a tiny random open_clip model, saved and loaded through open_clip's own code."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from creativelib.errors import InputError
from creativelib.training import tokenizer
from creativelib.training.judge import model_config
from creativelib.vision.judge import Judge
from stacks import COMMIT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from open_clip.model import CLIP

    folder = tmp_path_factory.mktemp("judge")
    words = tokenizer.build()
    config = model_config(words)
    torch.manual_seed(0)
    model = CLIP(
        config["embed_dim"],
        config["vision_cfg"],
        config["text_cfg"] | {"hf_tokenizer_name": None, "tokenizer_kwargs": None},
    )
    save_file(
        {
            k: v.half().contiguous() if v.is_floating_point() else v
            for k, v in model.state_dict().items()
        },
        folder / "open_clip_model.safetensors",
    )
    preprocess = {
        "size": 64,
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    words.save_pretrained(folder)
    return folder


def changed(folder, place, **preprocess):
    """Copy the folder, with other preprocessing."""
    shutil.copytree(folder, place)
    about = json.loads((place / "open_clip_config.json").read_text())
    about["preprocess_cfg"] |= preprocess
    (place / "open_clip_config.json").write_text(json.dumps(about))
    return place


@pytest.fixture(scope="module")
def judge(folder):
    return Judge.load(folder)


def test_pictures_and_texts_become_unit_vectors(judge):
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for embeddings in (
        judge.encode_images(pictures),
        judge.encode_text(["a photo of a pet", "a plant", "a red cat with long ears"]),
    ):
        assert embeddings.shape == (3, 64)
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)


def test_each_text_has_its_own_embedding(judge):
    """Padding is not pooled: the end of the text is found, however long it is."""
    one, longer = judge.encode_text(["a pet", "a pet with long ears"])
    assert not torch.allclose(one, longer, atol=1e-3)
    again = judge.encode_text(
        ["a pet", "a photo of a musical instrument with a long neck and a round body"]
    )[0]
    assert torch.allclose(one, again, atol=1e-5)


def test_classify_takes_the_nearest_prompt(judge):
    pictures = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    prompts = ["a pet", "a plant", "a fruit"]
    expected = (judge.encode_images(pictures) @ judge.encode_text(prompts).T).argmax(1)
    assert torch.equal(judge.classify(pictures, prompts), expected)


def test_the_repr_is_short(judge):
    assert repr(judge).splitlines()[1:] == ["  pictures of 64 x 64"]
    assert repr(judge).startswith("Judge(") and "M weights on cpu, float32" in repr(judge)


def test_other_sizes_are_fitted(judge):
    assert judge.encode_images(torch.rand(1, 3, 96, 80)).shape == (1, 64)


@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_pictures_are_prepared_as_open_clip_does(folder, tmp_path, mode):
    from open_clip import image_transform

    from creativelib.pictures import to_image

    judge = Judge.load(
        changed(
            folder, tmp_path / "judge", resize_mode=mode, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4]
        )
    )
    picture = torch.randint(256, (3, 96, 150), generator=torch.Generator().manual_seed(2)) / 255
    prepared = image_transform(64, False, judge.mean, judge.std, mode)(to_image(picture))
    theirs = torch.nn.functional.normalize(judge.model.encode_image(prepared[None]), dim=-1)
    assert torch.allclose(judge.encode_images(picture[None]), theirs, atol=2e-3)


def test_a_judge_is_found_on_the_hub_by_its_id(folder, judge, cache):
    cache(folder, "owner/name")
    expected = judge.encode_text(["a pet"])
    for revision in (None, "main", COMMIT):
        assert torch.equal(
            Judge.load("owner/name", revision=revision).encode_text(["a pet"]), expected
        )
    for repo, revision in (("owner/other", None), ("owner/name", "f" * 40)):
        with pytest.raises(InputError, match=f"model '{repo}'.* is not whole in the cache"):
            Judge.load(repo, revision=revision)


def test_a_judge_without_a_tokenizer_of_its_own_has_open_clips(cache, tmp_path):
    """OpenAI's and LAION's models are like that.

    They have a vision transformer, and a text transformer over open_clip's own 49408 tokens.
    """
    from open_clip.model import CLIP

    torch.manual_seed(0)
    config = {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 16,
            "head_width": 8,
            "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 8,
            "heads": 1,
            "layers": 1,
        },
    }
    (tmp_path / "made").mkdir()
    save_file(CLIP(**config).state_dict(), tmp_path / "made" / "model.safetensors")
    (tmp_path / "made" / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    )
    cache(tmp_path / "made", "owner/vit")
    judge = Judge.load("owner/vit")
    assert judge.size == 32 and judge.encode_text(["a pet", "a plant"]).shape == (2, 8)
    assert judge.encode_images(torch.rand(2, 3, 40, 40)).shape == (2, 8)


def test_weights_that_are_pickles_are_not_read(folder, cache):
    place = cache(folder, "owner/name", "*.safetensors")
    with pytest.raises(InputError, match="weights in safetensors are missing"):
        Judge.load("owner/name")
    torch.save({}, place / "open_clip_pytorch_model.bin")
    # open_clip takes the pickle before this one.
    shutil.copy(folder / "open_clip_model.safetensors", place / "model.safetensors")
    with pytest.raises(
        InputError,
        match="with open_clip_pytorch_model.bin as weights; expected open_clip_model.safetensors",
    ):
        Judge.load("owner/name")


def test_what_cannot_be_judged_by_is_refused(folder, tmp_path):
    for i, (preprocess, words) in enumerate(
        [
            ({"resize_mode": "longest"}, "64 x 64 pixels, bicubic, longest; expected"),
            ({"interpolation": "bilinear"}, "64 x 64 pixels, bilinear, shortest; expected"),
        ]
    ):
        with pytest.raises(InputError, match=words):
            Judge.load(changed(folder, tmp_path / str(i), **preprocess))
    place = changed(folder, tmp_path / "code")
    about = json.loads((place / "open_clip_config.json").read_text())
    about["model_cfg"]["text_cfg"]["tokenizer_kwargs"]["trust_remote_code"] = True
    (place / "open_clip_config.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="wants to run code of its own"):
        Judge.load(place)
    place = changed(folder, tmp_path / "other")
    save_file({"weight": torch.zeros(2)}, place / "open_clip_model.safetensors")
    with pytest.raises(InputError, match="which cannot be loaded"):
        Judge.load(place)


def described(folder, place, **model):
    """Copy the folder, with other settings of the model; `text` and `vision` are of its halves."""
    shutil.copytree(folder, place)
    about = json.loads((place / "open_clip_config.json").read_text())
    for half in ("text", "vision"):
        about["model_cfg"][f"{half}_cfg"] |= model.pop(half, {})
    about["model_cfg"] |= model
    (place / "open_clip_config.json").write_text(json.dumps(about))
    return place


ELSEWHERE = [
    ({"text": {"tokenizer_kwargs": {"trust_remote_code": True}}}, "code of its own"),
    (
        {"text": {"tokenizer_kwargs": {"code_revision": "main"}}},
        "code_revision in tokenizer_kwargs",
    ),
    ({"text": {"tokenizer_kwargs": {"cache_dir": "/tmp"}}}, "cache_dir in tokenizer_kwargs"),
    ({"text": {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}}, "sets bpe_path to"),
    ({"text": {"tokenizer_kwargs": {"gguf_file": "../a"}}}, "sets gguf_file to"),
    ({"text": {"hf_model_name": "owner/other"}}, "sets hf_model_name to 'owner/other'"),
    ({"text": {"own": 1}}, "own in text_cfg; expected"),
    ({"vision": {"timm_model_name": "hf-hub:owner/other"}}, "expected the name of a model"),
    ({"vision": {"timm_model_name": "local-dir:/tmp"}}, "expected the name of a model"),
    ({"vision": {"timm_model_name": ["resnet50"]}}, "expected the name of a model"),
    ({"vision": {"pretrained": "/tmp/weights.bin"}}, "pretrained in vision_cfg; expected"),
    ({"pretrained_text_path": "/tmp/weights.bin"}, "pretrained_text_path in model_cfg; expected"),
    ({"text": {"layers": 10**9}}, "sets layers to 1000000000; expected at most"),
    ({"text_cfg": None}, "with text_cfg None; expected an object"),
    ({"vision_cfg": [1]}, "with vision_cfg .1.; expected an object"),
    ({"embed_dim": "many"}, "which cannot be loaded"),
]


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize(("model", "words"), ELSEWHERE, ids=str)
def test_settings_that_lead_elsewhere_are_refused(folder, tmp_path, model, words, escaped):
    """Written plainly or with escaped letters."""
    place = described(folder, tmp_path / "judge", **json.loads(json.dumps(model)))
    if escaped:
        file = place / "open_clip_config.json"
        file.write_text(file.read_text().replace("t", "\\u0074").replace("\\u0074rue", "true"))
    with pytest.raises(InputError, match=words):
        Judge.load(place)


def test_a_tokenizers_own_code_is_neither_run_nor_asked_about(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("the user was asked"))
    place = shutil.copytree(folder, tmp_path / "judge")
    marker = tmp_path / "marker"
    (place / "own.py").write_text(f"open({str(marker)!r}, 'w')\n")
    file = place / "tokenizer_config.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"auto_map": {"AutoTokenizer": ["own.Own", None]}}))
    with pytest.raises(InputError, match="sets auto_map to"):
        Judge.load(place)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("open_clip_config.json", "[]", "holds a list; expected an object"),
        ("open_clip_config.json", "{}", "with model_cfg None; expected an object"),
        ("open_clip_config.json", "{", "is no JSON"),
        ("open_clip_model.safetensors", "version https://git-lfs", "git-lfs's pointer"),
        ("open_clip_model.safetensors", "weights", "cannot be loaded"),
        ("tokenizer.json", None, "lacks tokenizer.json"),
        ("tokenizer.json", "{}", "which cannot be loaded"),
        ("tokenizer_config.json", "{", "is no JSON"),
    ],
)
def test_files_that_are_missing_or_damaged_are_named(folder, tmp_path, name, text, words):
    place = shutil.copytree(folder, tmp_path / "judge")
    if text is None:
        (place / name).unlink()
    else:
        (place / name).write_text(text)
    with pytest.raises(InputError, match=words):
        Judge.load(place)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_judge_on_a_gpu_judges_as_on_a_cpu(folder, judge):
    other = Judge.load(folder, "cuda")
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        other.encode_images(pictures).cpu(), judge.encode_images(pictures), atol=1e-2
    )
    assert torch.allclose(
        other.encode_text(["a pet"]).cpu(), judge.encode_text(["a pet"]), atol=1e-2
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda folder: Judge.load(folder / "nowhere"), "nowhere' is not the id of a repository"),
        (
            lambda folder: Judge.load(folder.parent),
            "without open_clip_config.json; expected 'menagerie'",
        ),
        (lambda folder: Judge.load(folder, device="moon"), "device is 'moon'"),
    ],
)
def test_bad_input(folder, call, words):
    with pytest.raises(InputError, match=words):
        call(folder)

"""Folders of models: what is whole is read, and everything else is refused by name.

A marker is written by every piece of code that a folder brings along. It must never appear.
"""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from creativelib.errors import InputError
from creativelib.models.folders import lacking, read_part
from creativelib.models.location import bundled, locate
from creativelib.models.names import BUNDLED_STACKS, MODELS
from creativelib.models.parts import (
    CLIP_PICTURES,
    CLIP_TEXT,
    CLIP_VISION,
    CLIP_WORDS,
    COUNTING_UNET,
    DECODERS,
    ENCODER,
    JUDGE,
    JUDGE_WORDS,
    PRIOR,
    PRIORS,
    SCHEDULER,
    UNET,
    VQA,
)
from creativelib.semantica.model import NETWORKS
from creativelib.unclip.pipeline import load
from creativelib.vision.encoders import Encoder
from stacks import COMMIT, hub_folder

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4\n"
WEIGHTS = "prior/prior/diffusion_pytorch_model.safetensors"
INDEX = f"{WEIGHTS}.index.json"


@pytest.fixture
def copy(stack, tmp_path):
    return shutil.copytree(stack, tmp_path / "copy")


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def changed(file: Path, **values) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def shard(file: Path, count: int = 2) -> dict[str, str]:
    """Cut weights into shards, and return which holds each tensor."""
    tensors = load_file(file)
    names = sorted(tensors)
    held = {}
    for i in range(count):
        shard = f"{file.stem}-{i + 1:05}-of-{count:05}.safetensors"
        part = {name: tensors[name] for name in names[i::count]}
        save_file(part, file.parent / shard, {"format": "pt"})
        held |= dict.fromkeys(part, shard)
    file.unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": held}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps(index))
    return held


def test_bundled_folders_are_whole_by_the_same_rules():
    for stack in BUNDLED_STACKS:
        folder = MODELS[stack].folder
        parts = PRIORS["KandinskyV22PriorPipeline"] | DECODERS["KandinskyV22Pipeline"]
        for name, part in parts.items():
            half = "prior" if name in PRIORS["KandinskyV22PriorPipeline"] else "decoder"
            if name != "scheduler":
                read_part(folder / half / name, part)
    for part in VQA:
        read_part(bundled("vqa"), part)
    for part in ENCODER:
        read_part(bundled("dino"), part)
    for part in (JUDGE, JUDGE_WORDS):
        read_part(bundled("judge"), part)
    for network in NETWORKS.values():
        read_part(bundled(network), COUNTING_UNET)


def test_shards_are_read_as_one_file_is(copy):
    before = load(copy, device="cpu").prior.state_dict()
    shard(copy / WEIGHTS)
    after = load(copy, device="cpu").prior.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def replaced(path, text):
    return lambda copy: (copy / path).write_text(text)


def removed(path):
    return lambda copy: (copy / path).unlink()


def renamed(path, name):
    return lambda copy: (copy / path).rename((copy / path).with_name(name))


def setting(path, **values):
    return lambda copy: changed(copy / path, **values)


def cut(path, size):
    def spoil(copy):
        (copy / path).write_bytes((copy / path).read_bytes()[:size])

    return spoil


def sharded(change):
    """Cut the prior's weights into shards and change the index's table."""

    def spoil(copy):
        held = shard(copy / WEIGHTS)
        change(copy, held)
        (copy / INDEX).write_text(json.dumps({"weight_map": held}))

    return spoil


def pointing(name):
    """Let the index name another file for its first tensor."""
    return sharded(lambda copy, held: held.update({min(held): name}))


FAULTS = {
    "missing vocabulary": (
        removed("prior/tokenizer/tokenizer.json"),
        "prior/tokenizer' lacks tokenizer.json; expected the whole folder",
    ),
    "missing configuration": (
        removed("prior/text_encoder/config.json"),
        "text_encoder' lacks config.json; expected the whole folder",
    ),
    "missing weights": (
        removed("decoder/movq/diffusion_pytorch_model.safetensors"),
        "movq' lacks diffusion_pytorch_model.safetensors: weights in safetensors are missing",
    ),
    "half precision alone": (
        renamed(WEIGHTS, "diffusion_pytorch_model.fp16.safetensors"),
        "there is diffusion_pytorch_model.fp16.safetensors alone; expected .*, so rename it",
    ),
    "pickles alone": (
        renamed(WEIGHTS, "diffusion_pytorch_model.bin"),
        "diffusion_pytorch_model.bin is not read, since pickles may run code",
    ),
    "pointer for weights": (replaced(WEIGHTS, POINTER), "git-lfs's pointer .* run `git lfs pull`"),
    "pointer for settings": (
        replaced("decoder/scheduler/scheduler_config.json", POINTER),
        "scheduler_config.json' is git-lfs's pointer",
    ),
    "pointer for a vocabulary": (
        replaced("prior/tokenizer/tokenizer.json", POINTER),
        "tokenizer.json' is git-lfs's pointer",
    ),
    "truncated weights": (cut(WEIGHTS, 4000), "model.safetensors' cannot be loaded"),
    "truncated header": (cut(WEIGHTS, 40), "model.safetensors' cannot be loaded"),
    "empty weights": (cut(WEIGHTS, 0), "model.safetensors' cannot be loaded"),
    "broken JSON": (cut("decoder/unet/config.json", 100), "unet/config.json' is no JSON"),
    "no text": (
        lambda copy: (copy / "decoder/unet/config.json").write_bytes(b"\xff\xfe\x00"),
        "unet/config.json' is no JSON",
    ),
    "deep JSON": (
        replaced("decoder/unet/config.json", '{"a":' * 100_000),
        "unet/config.json' is no JSON .*recursion",
    ),
    "list": (replaced("decoder/unet/config.json", "[]"), "config.json' holds a list; expected an"),
    "number of too many digits": (
        replaced("decoder/unet/config.json", '{"a": ' + "9" * 5000 + "}"),
        "unet/config.json' is no JSON",
    ),
    "no class": (setting("decoder/unet/config.json", _class_name=None), "unet. is of class None"),
    "another class": (
        setting("prior/prior/config.json", _class_name="Transformer2DModel"),
        "is of class Transformer2DModel; expected PriorTransformer as _class_name in config.json",
    ),
    "another type": (
        setting("prior/image_encoder/config.json", model_type="vit"),
        "is of type vit; expected clip_vision_model, clip as model_type in config.json",
    ),
    "a pipeline's class in a list": (
        setting("prior/model_index.json", _class_name=["own_pipeline", "Own"]),
        "has _class_name .*; expected KandinskyV22PriorPipeline",
    ),
    "another tokenizer": (
        setting("prior/tokenizer/tokenizer_config.json", tokenizer_class="TikTokenTokenizer"),
        "is of class TikTokenTokenizer; expected CLIPTokenizer, CLIPTokenizerFast",
    ),
    "a scheduler that is none": (
        setting("decoder/scheduler/scheduler_config.json", _class_name="StableDiffusionPipeline"),
        "is of class StableDiffusionPipeline; expected DDIMScheduler",
    ),
    "a scheduler's name in a list": (
        setting("decoder/scheduler/scheduler_config.json", _class_name=["DDIMScheduler"]),
        "is of class ..DDIMScheduler..; expected",
    ),
    "another part in the index": (
        setting("decoder/model_index.json", scheduler=["diffusers", "DiffusionPipeline"]),
        "names .*DiffusionPipeline.* as its scheduler; expected DDIMScheduler",
    ),
    "a module in the index": (
        setting("decoder/model_index.json", unet=["own_module", "Own"]),
        "names .*Own.* as its unet; expected UNet2DConditionModel",
    ),
    "endless layers": (
        setting("prior/prior/config.json", num_layers=10**9),
        "sets num_layers to 1000000000; expected at most the .* tensors of its weights",
    ),
    "a size that is none": (
        setting("decoder/unet/config.json", sample_size="64"),
        "has sample_size '64'; expected a whole number from 1",
    ),
    "missing shard": (
        sharded(lambda copy, held: (copy / WEIGHTS).with_name(min(held.values())).unlink()),
        "prior/prior' lacks diffusion_pytorch_model-00001-of-00002.safetensors",
    ),
    "a shard without its tensor": (
        sharded(lambda copy, held: held.update(one_more=min(held.values()))),
        "lacks one_more, which diffusion_pytorch_model.safetensors.index.json says it holds",
    ),
    "a pickle as shard": (pointing("weights.bin"), "names 'weights.bin' as a file of weights"),
    "a shard above": (pointing("../unet.safetensors"), "names '../unet.safetensors' as a file"),
    "a shard anywhere": (pointing("/tmp/a.safetensors"), "names '/tmp/a.safetensors' as a file"),
    "a shard below": (pointing("a/b.safetensors"), "names 'a/b.safetensors' as a file"),
    "no table of shards": (
        sharded(lambda copy, held: held.clear()),
        "index.json' names None as a file of weights",
    ),
    "a link to nothing": (
        lambda copy: ((copy / WEIGHTS).unlink(), (copy / WEIGHTS).symlink_to("blobs")),
        "lacks diffusion_pytorch_model.safetensors, a link to nothing",
    ),
    "links in a circle": (
        lambda copy: (copy / "prior/prior/more").symlink_to("more"),
        "prior/more' leads outside of the model's folder",
    ),
    "an adapter": (
        replaced("prior/text_encoder/adapter_config.json", "{}"),
        "holds adapter_config.json, which leads to other weights",
    ),
    "another library's shards": (
        replaced("prior/text_encoder/shard-00001-model-00001-of-00001.safetensors", ""),
        "which leads to other weights",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_before_anything_is_loaded(copy, fault):
    spoil, words = FAULTS[fault]
    spoil(copy)
    with pytest.raises(InputError, match=words):
        locate(copy)


@pytest.mark.parametrize(
    "values",
    [
        {"auto_map": {"AutoModel": "own.Own"}},
        {"auto_map": {"AutoTokenizer": ["owner/other--own.Own", None]}},
        {"trust_remote_code": True},
        {"custom_pipeline": "own"},
        {"quantization_config": {"quant_method": "own"}},
        {"transformers_weights": "../weights.safetensors"},
        {"attn_implementation": "owner/kernel"},
        {"_attn_implementation": "owner/kernel", "attn_implementation": "sdpa"},
        {"vocab_file": "/etc/passwd"},
        {"tokenizer_file": "../tokenizer.json"},
        {"fast_tokenizer_files": ["../tokenizer.json"]},
        {"init_inputs": ["/etc/passwd"]},
        {"audio_tokenizer": {"audio_tokenizer_name_or_path": "owner/other"}},
        {"base_model_name_or_path": "owner/other"},
        {"inner": [{"deep": {"auto_map": {"AutoConfig": "own.Own"}}}]},
    ],
    ids=str,
)
def test_settings_that_lead_elsewhere_are_refused_in_every_file(copy, values):
    """Written plainly or with escaped letters."""
    for file in (
        "prior/model_index.json",
        "prior/text_encoder/config.json",
        "prior/tokenizer/tokenizer_config.json",
        "prior/image_processor/preprocessor_config.json",
        "decoder/scheduler/scheduler_config.json",
    ):
        before = (copy / file).read_text()
        plain = json.dumps(json.loads(before) | values)
        for text in (plain, plain.replace("o", "\\u006f")):
            (copy / file).write_text(text)
            with pytest.raises(InputError, match=r"sets \w+ to .*run code of its own or to open"):
                locate(copy)
        (copy / file).write_text(before)


def test_settings_that_ask_for_nothing_are_let_through(copy):
    changed(
        copy / "prior/text_encoder/config.json",
        auto_map=None,
        quantization_config=None,
        trust_remote_code=False,
        attn_implementation="sdpa",
        _name_or_path="owner/other",
    )
    locate(copy)


@pytest.mark.parametrize(
    "file", ["prior/prior", "prior/text_encoder/config.json", WEIGHTS, "decoder", "prior/note.md"]
)
def test_links_out_of_the_folder_are_refused(copy, tmp_path, file):
    """Also of what nobody reads, if a part's folder has it."""
    where = copy / (file if file != "prior/note.md" else "prior/prior/note.md")
    elsewhere = tmp_path / "elsewhere"
    if where.exists():
        where.rename(elsewhere)
    else:
        elsewhere.write_text("note")
    where.symlink_to(elsewhere)
    with pytest.raises(InputError, match="leads outside of the model's folder"):
        locate(copy)


def test_links_into_a_hubs_store_are_how_its_cache_works(copy, tmp_path):
    folder = hub_folder(tmp_path / "hub", "owner/name")
    blobs = folder.parents[1] / "blobs"
    blobs.mkdir()
    for i, file in enumerate(sorted((copy / "prior/prior").iterdir())):
        file.rename(blobs / str(i))
        (folder / file.name).symlink_to(Path("../../blobs") / str(i))
    assert folder.name == COMMIT
    read_part(folder, PRIOR)
    (folder / "note").symlink_to(copy)
    with pytest.raises(InputError, match="leads outside"):
        read_part(folder, PRIOR)


def test_pickles_beside_weights_are_not_opened(copy, marker):
    for folder in ("prior/prior", "prior/text_encoder", "decoder/unet"):
        for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.pt"):
            (copy / folder / name).write_bytes(pickle.dumps(Bomb(marker)))
    load(copy, device="cpu")
    assert not marker.exists()


def test_a_pickle_by_the_name_of_safetensors_is_not_opened(copy, marker):
    (copy / WEIGHTS).write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(InputError, match="safetensors' cannot be loaded"):
        load(copy, device="cpu")
    assert not marker.exists()


def test_modules_in_the_folder_are_not_imported(copy, marker):
    for folder in ("prior", "prior/text_encoder", "prior/tokenizer", "decoder", "decoder/unet"):
        for name in ("pipeline", "modeling", "own", "__init__", "tokenization", "generate"):
            (copy / folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    load(copy, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            setting("prior/prior/config.json", embedding_dim=32, clip_embed_dim=32),
            "cannot be loaded",
        ),
        (setting("decoder/unet/config.json", norm_num_groups=0), "cannot be loaded"),
        (setting("decoder/unet/config.json", act_fn="none"), "cannot be loaded"),
        (setting("prior/text_encoder/config.json", hidden_size="wide"), "cannot be loaded"),
        (setting("decoder/scheduler/scheduler_config.json", beta_start="a"), "cannot be loaded"),
        (
            setting("decoder/scheduler/scheduler_config.json", num_train_timesteps=10**12),
            "num_train_timesteps 1000000000000; expected a whole number from 2",
        ),
        (
            setting("prior/image_processor/preprocessor_config.json", image_mean="abc"),
            "image_mean 'abc'; expected three numbers",
        ),
        (
            setting("prior/image_processor/preprocessor_config.json", image_std=[1, 0, 1]),
            "image_std .*; expected numbers above 0",
        ),
        (
            setting("prior/image_processor/preprocessor_config.json", crop_size={"height": 16}),
            "crop_size",
        ),
        (cut("prior/tokenizer/tokenizer.json", 300), "tokenizer.*cannot be loaded"),
        (replaced("prior/tokenizer/tokenizer.json", "{}"), "tokenizer.*cannot be loaded"),
        (
            setting("prior/tokenizer/tokenizer_config.json", model_max_length="long"),
            "model_max_length",
        ),
    ],
)
def test_what_only_the_libraries_notice_is_refused_as_well(copy, spoil, words):
    spoil(copy)
    with pytest.raises(InputError, match=words):
        load(copy, device="cpu")


def test_weights_that_lack_a_tensor_are_not_filled_with_random_numbers(copy):
    file = copy / "prior/text_encoder/model.safetensors"
    tensors = load_file(file)
    gone = sorted(tensors)[0]
    save_file({k: v for k, v in tensors.items() if k != gone}, file, {"format": "pt"})
    with pytest.raises(InputError, match=f"no weights that fit for 1 tensors .* such as {gone}"):
        load(copy, device="cpu")


def test_a_tokenizer_without_words_is_refused(copy):
    file = copy / "prior/tokenizer/tokenizer.json"
    about = json.loads(file.read_text())
    words = about["model"]["vocab"]
    about["model"] |= {"vocab": dict(sorted(words.items(), key=lambda w: w[1])[-2:]), "merges": []}
    file.write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"tokenizer .* (knows 2 tokens|cannot be loaded)"):
        load(copy, device="cpu")


def test_the_first_missing_file_is_named(copy):
    for part, folder, names in (
        (CLIP_WORDS, "prior/tokenizer", ["tokenizer.json", "tokenizer_config.json"]),
        (CLIP_TEXT, "prior/text_encoder", ["model.safetensors", "config.json"]),
        (CLIP_VISION, "prior/image_encoder", ["model.safetensors", "config.json"]),
        (CLIP_PICTURES, "prior/image_processor", ["preprocessor_config.json"]),
        (SCHEDULER, "decoder/scheduler", ["scheduler_config.json"]),
        (UNET, "decoder/unet", ["diffusion_pytorch_model.safetensors", "config.json"]),
    ):
        assert lacking(copy / folder, [part]) == ""
        for name in names:
            (copy / folder / name).unlink()
            assert lacking(copy / folder, [part]) == name


@pytest.mark.parametrize("gone", ["preprocessor_config.json", "model.safetensors", "config.json"])
def test_a_cache_that_another_library_filled_in_part_is_completed(
    stack, tmp_path, monkeypatch, gone
):
    """The hub is asked for what is not there; with all there, it is not asked."""
    import huggingface_hub

    whole = tmp_path / "whole"
    for part in ("image_encoder", "image_processor"):
        shutil.copytree(stack / "prior" / part, whole, dirs_exist_ok=True)
    folder = shutil.copytree(whole, tmp_path / "part", ignore=shutil.ignore_patterns(gone))
    asked = []

    def download(repo, local_files_only, **how):
        asked.append(local_files_only)
        if not local_files_only:
            shutil.copy(whole / gone, folder / gone)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for expected in ([True, False], [True]):
        asked.clear()
        Encoder.load("owner/name")
        assert asked == expected

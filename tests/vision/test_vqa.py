"""Questions about pictures: tiny random models of each class, and a CLIP in a VQA's place."""

import json
import shutil

import pytest
import torch

from creativelib.errors import InputError
from creativelib.training.vqa import build_tokenizer
from creativelib.vision.vqa import (
    Blip2Vqa,
    BlipVqa,
    SmolVlmVqa,
    Vqa,
    ZeroShotVqa,
    is_a,
    what_color,
    what_kind,
)
from stacks import COMMIT

# Each class, with the fixture that makes a model.
EACH = [
    (BlipVqa, "folder"),
    (Blip2Vqa, "t5"),
    (Blip2Vqa, "opt"),
    (SmolVlmVqa, "small"),
]
SPECIAL = ("[sep]", "[pad]", "[dec]", "[cls]")
# As SmolVLM2's own, whose roles are written out and whose pictures come before the text.
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def save(model, folder):
    """Save a model with larger weights: a fresh one hardly depends on the picture."""
    torch.manual_seed(0)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipImageProcessor, BlipProcessor

    folder = tmp_path_factory.mktemp("blip")
    words = build_tokenizer(folder)
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = small | {
        "vocab_size": len(words),
        "encoder_hidden_size": 16,
        "max_position_embeddings": 32,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "sep_token_id": words.sep_token_id,
        "eos_token_id": words.sep_token_id,
    }
    model = BlipForQuestionAnswering(
        BlipConfig(text_config=text, vision_config=small | {"image_size": 16, "patch_size": 8})
    )
    save(model.half(), folder)
    BlipProcessor(BlipImageProcessor(size={"height": 16, "width": 16}), words).save_pretrained(
        folder
    )
    return folder


def blip_2(folder, kind):
    """Save a tiny random BLIP-2 whose language model has an encoder (t5) or none (opt)."""
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        Blip2QFormerConfig,
        BlipImageProcessor,
        OPTConfig,
        T5Config,
    )

    words = build_tokenizer(folder)
    processor = Blip2Processor(
        BlipImageProcessor(size={"height": 16, "width": 16}), words, num_query_tokens=4
    )
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    ids = {
        "vocab_size": len(words),
        "pad_token_id": words.pad_token_id,
        "eos_token_id": words.sep_token_id,
    }
    text = {
        "t5": T5Config(
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=2,
            decoder_start_token_id=words.pad_token_id,
            **ids,
        ),
        "opt": OPTConfig(
            ffn_dim=32,
            max_position_embeddings=64,
            word_embed_proj_dim=16,
            bos_token_id=words.bos_token_id,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            **ids,
        ),
    }[kind]
    config = Blip2Config(
        vision_config=small | {"image_size": 16, "patch_size": 8},
        qformer_config=Blip2QFormerConfig(
            vocab_size=len(words), encoder_hidden_size=16, **small
        ).to_dict(),
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=len(words) - 1,
    )
    save(Blip2ForConditionalGeneration(config), folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return blip_2(tmp_path_factory.mktemp("t5"), "t5")


@pytest.fixture(scope="module")
def opt(tmp_path_factory):
    return blip_2(tmp_path_factory.mktemp("opt"), "opt")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Save a tiny random SmolVLM: letters are tokens, and a tile of 32 pixels is 4 tokens."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        GPT2Tokenizer,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    folder = tmp_path_factory.mktemp("smolvlm")
    special = [
        "<|im_start|>",
        "<image>",
        "<fake_token_around_image>",
        "<global-img>",
        "<end_of_utterance>",
        "<|im_end|>",
        *(f"<row_{i}_col_{j}>" for i in range(1, 5) for j in range(1, 5)),
    ]
    vocabulary = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    words = GPT2Tokenizer(
        vocab=vocabulary,
        merges=[],
        pad_token="<|im_end|>",
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        unk_token="<|im_end|>",
        additional_special_tokens=special,
    )
    ids = {
        name: words.convert_tokens_to_ids(token)
        for name, token in {
            "pad_token_id": "<|im_end|>",
            "bos_token_id": "<|im_start|>",
            "eos_token_id": "<end_of_utterance>",
        }.items()
    }
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = SmolVLMConfig(
        vision_config=small | {"image_size": 32, "patch_size": 8},
        scale_factor=2,
        text_config=small
        | ids
        | {"model_type": "llama", "vocab_size": len(words), "num_key_value_heads": 1},
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    save(SmolVLMForConditionalGeneration(config), folder)
    sizes = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 32}}
    SmolVLMProcessor(
        SmolVLMImageProcessor(**sizes),
        words,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=4,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def pictures(n, size=16):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_questions():
    assert what_kind("pet") == "what kind of pet is in this photo?"
    assert (is_a("pet"), is_a("animal"), what_color("pet")) == (
        "is this a pet?",
        "is this an animal?",
        "what color is the pet?",
    )


def test_a_blip_answers_once_for_each_picture(folder):
    vqa = BlipVqa.load(folder)
    assert isinstance(vqa, Vqa)
    answers = vqa.ask(pictures(70, 24), "is this a pet?")
    assert len(answers) == 70 and not any(
        token in answer for answer in answers for token in SPECIAL
    )


@pytest.mark.parametrize(("cls", "made"), EACH)
def test_reprs_are_short(cls, made, request):
    first, second = repr(cls.load(request.getfixturevalue(made))).splitlines()
    assert first.startswith(f"{cls.__name__}(0.") and "M weights on cpu, float32" in first
    side = 32 if made == "small" else 16
    assert second == f"  pictures of {side} x {side}"


@pytest.mark.parametrize(("cls", "made"), EACH)
def test_answers_do_not_depend_on_the_batch(cls, made, request):
    vqa = cls.load(request.getfixturevalue(made))
    shown = pictures(8, 24)
    together = vqa.ask(shown, "what kind of pet is in this photo?")
    assert len(set(together)) > 1
    assert together == [
        vqa.ask(shown[i : i + 1], "what kind of pet is in this photo?")[0] for i in range(8)
    ]


@pytest.mark.parametrize("made", ["t5", "opt"])
def test_a_blip_2_answers_once_for_each_picture(made, request):
    vqa = Blip2Vqa.load(request.getfixturevalue(made))
    assert isinstance(vqa, Vqa)
    answers = vqa.ask(pictures(3, 24), "is this a pet?")
    assert len(answers) == 3 and not any(
        token in answer for answer in answers for token in ("question", *SPECIAL)
    )
    with pytest.raises(InputError, match="question is ''"):
        vqa.ask(pictures(1), "")


def changed(folder, place, file, **values):
    """Copy a model's folder, with other entries in one of its files; None removes one."""
    shutil.copytree(folder, place)
    about = json.loads((place / file).read_text()) | values
    kept = {name: value for name, value in about.items() if value is not None}
    (place / file).write_text(json.dumps(kept))
    return place


@pytest.mark.parametrize("number", [None, 2])
@pytest.mark.parametrize("made", ["t5", "opt"])
def test_a_blip_2_sees_the_picture_whatever_its_processor_says(made, number, request, tmp_path):
    """Processors of older files lack the number of tokens that stand for the picture."""
    folder = request.getfixturevalue(made)
    place = changed(folder, tmp_path / "old", "processor_config.json", num_query_tokens=number)
    vqa = Blip2Vqa.load(place)
    shown = list(pictures(2))
    seen = [
        vqa.processor(images=[picture], text=["what is it?"], do_rescale=False, return_tensors="pt")
        for picture in shown
    ]
    place_of_picture = seen[0].input_ids == vqa.model.config.image_token_index
    assert place_of_picture.sum() == vqa.model.config.num_query_tokens
    start = {"decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)} if made == "t5" else {}
    one, other = (vqa.model(**inputs, **start).logits for inputs in seen)
    assert not torch.allclose(one, other, atol=1e-3)
    eight = pictures(8, 24)
    answers = vqa.ask(eight, "what is it?")
    assert answers == Blip2Vqa.load(folder).ask(eight, "what is it?") and len(set(answers)) > 1


def test_a_blip_2_whose_processor_means_another_token_is_refused(t5, tmp_path):
    for index in (None, 7):
        place = changed(t5, tmp_path / str(index), "config.json", image_token_index=index)
        with pytest.raises(InputError, match=f"token [0-9]+; expected the model's, {index}"):
            Blip2Vqa.load(place)


def test_a_smolvlm_answers_once_for_each_picture(small):
    vqa = SmolVlmVqa.load(small)
    assert isinstance(vqa, Vqa) and vqa.model.dtype == torch.float32
    answers = vqa.ask(pictures(70, 24), "is this a pet?")
    assert len(answers) == 70 and not any(
        "<" in answer or "assistant" in answer for answer in answers
    )
    with pytest.raises(InputError, match="question is ''"):
        vqa.ask(pictures(1), "")


def test_a_smolvlm_reads_each_picture_as_one_tile(small, monkeypatch):
    vqa = SmolVlmVqa.load(small)
    calls = []

    def generate(**inputs):
        calls.append(inputs)
        answers = vqa.processor.tokenizer(
            [" A cat.<end_of_utterance>"] * 2, return_tensors="pt"
        ).input_ids
        return torch.cat([inputs["input_ids"], answers], 1)

    monkeypatch.setattr(vqa.model, "generate", generate)
    assert vqa.ask(pictures(2, 200), "what is it?") == ["a cat", "a cat"]
    assert calls[0]["pixel_values"].shape == (2, 1, 3, 32, 32)
    assert vqa.processor.tokenizer.decode(calls[0]["input_ids"][0]) == (
        "<|im_start|>User:<fake_token_around_image><global-img><image><image><image><image>"
        "<fake_token_around_image>what is it? Answer with one or two words.<end_of_utterance>\n"
        "Assistant:"
    )


def test_a_gray_picture_is_a_picture(small):
    gray = torch.full((1, 3, 16, 16), 0.5)
    assert len(SmolVlmVqa.load(small).ask(torch.cat([pictures(2), gray]), "is this a pet?")) == 3


def test_a_missing_package_is_named(small, monkeypatch):
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    with pytest.raises(InputError, match="pip install num2words"):
        SmolVlmVqa.load(small)


@pytest.mark.parametrize(("cls", "made"), EACH)
def test_models_are_found_on_the_hub_by_their_ids(cls, made, request, cache):
    here = request.getfixturevalue(made)
    cache(here, "owner/name")
    expected = cls.load(here).ask(pictures(3), "is this a pet?")
    for revision in (None, "main", COMMIT):
        assert (
            cls.load("owner/name", revision=revision).ask(pictures(3), "is this a pet?") == expected
        )
    for repo, revision in (("owner/other", None), ("owner/name", "f" * 40)):
        with pytest.raises(InputError, match=f"model '{repo}'.* is not whole in the cache"):
            cls.load(repo, revision=revision)


@pytest.mark.parametrize(("cls", "made"), EACH)
def test_weights_that_are_pickles_are_not_read(cls, made, request, cache):
    torch.save(
        {},
        cache(request.getfixturevalue(made), "owner/name", "*.safetensors") / "pytorch_model.bin",
    )
    with pytest.raises(
        InputError,
        match="model 'owner/name' is not whole in the cache.*weights in safetensors are missing",
    ):
        cls.load("owner/name")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "own.Own"}}, "sets auto_map to"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}, "auto_map"),
        (
            "processor_config.json",
            {"audio_tokenizer": {"audio_tokenizer_name_or_path": "owner/other"}},
            "sets audio_tokenizer to",
        ),
        ("generation_config.json", {"custom_generate": "owner/other"}, "sets custom_generate to"),
        ("adapter_config.json", {"base_model_name_or_path": "owner/other"}, "lead"),
        ("tokenizer_config.json", {"tokenizer_class": "Own"}, "is of class Own;"),
        ("config.json", {"architectures": "BlipForQuestionAnswering"}, "holds no Blip"),
        ("config.json", {"architectures": {}}, "holds no Blip"),
        ("config.json", {"text_config": {"num_hidden_layers": 10**9}}, "num_hidden_layers"),
        ("config.json", {"vision_config": {"hidden_size": "a"}}, "cannot be loaded"),
        ("processor_config.json", {"image_processor": 1}, "cannot be loaded"),
    ],
    ids=str,
)
def test_settings_that_lead_elsewhere_or_are_wrong_are_refused(
    folder, tmp_path, monkeypatch, name, values, words
):
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("the user was asked"))
    place = shutil.copytree(folder, tmp_path / "vqa")
    about = json.loads((place / name).read_text()) if (place / name).is_file() else {}
    (place / name).write_text(json.dumps(about | values))
    with pytest.raises(InputError, match=words):
        BlipVqa.load(place)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("tokenizer.json", "lacks tokenizer.json"),
        ("model.safetensors", "weights in safetensors are missing"),
        ("processor_config.json", "lacks processor_config.json"),
        ("tokenizer_config.json", "lacks tokenizer_config.json"),
    ],
)
def test_missing_files_are_named(folder, tmp_path, cache, gone, words):
    """In a folder; and a cache that another library filled in part does not count as whole."""
    place = shutil.copytree(
        folder, tmp_path / "part", ignore=shutil.ignore_patterns(gone, "vocab.txt")
    )
    with pytest.raises(InputError, match=words):
        BlipVqa.load(place)
    cache(place, "owner/name")
    with pytest.raises(InputError, match="model 'owner/name' is not whole in the cache"):
        BlipVqa.load("owner/name")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("cls", "made"), EACH)
def test_models_answer_in_half_precision(cls, made, dtype, request):
    vqa = cls.load(request.getfixturevalue(made), dtype=dtype)
    assert dtype in {weights.dtype for weights in vqa.model.parameters()}
    assert len(vqa.ask(pictures(3, 24), "is this a pet?")) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("cls", "made"), EACH)
def test_models_answer_on_a_gpu_in_their_own_precision(cls, made, request):
    vqa = cls.load(request.getfixturevalue(made), "cuda")
    assert {torch.float16, torch.bfloat16} & {weights.dtype for weights in vqa.model.parameters()}
    assert len(vqa.ask(pictures(3, 24).cuda(), "is this a pet?")) == 3
    # A GPU without bfloat16 gets float16.
    half = cls.load(request.getfixturevalue(made), "cuda", torch.float16)
    assert len(half.ask(pictures(3, 24).cuda(), "is this a pet?")) == 3


def test_every_word_of_the_world_is_one_token(folder):
    from creativelib.world import CATEGORIES, captions

    words = BlipVqa.load(folder).processor.tokenizer
    assert all(len(words.tokenize(word)) == 1 for word in captions.words(CATEGORIES))
    assert "[UNK]" not in words.tokenize("a gryphon, and 3 more!")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda folder: BlipVqa.load(folder / "nowhere"), "nowhere' is not the id of a repository"),
        (lambda folder: BlipVqa.load(folder.parent), "holds no BlipForQuestionAnswering"),
        (lambda folder: BlipVqa.load(folder, device="moon"), "device is 'moon'"),
        (lambda folder: Blip2Vqa.load(folder), "holds no Blip2ForConditionalGeneration"),
        (lambda folder: Blip2Vqa.load(folder, device="moon"), "device is 'moon'"),
        (lambda folder: SmolVlmVqa.load(folder), "holds no SmolVLMForConditionalGeneration"),
        (lambda folder: BlipVqa.load(folder).ask(pictures(1), " "), "question is ' '"),
    ],
)
def test_bad_input(folder, call, words):
    with pytest.raises(InputError, match=words):
        call(folder)


def test_clip_in_a_vqas_place(pipe):
    vqa = ZeroShotVqa(pipe, ["pet", "plant", "cat"])
    assert isinstance(vqa, Vqa)
    assert len(repr(vqa).splitlines()) == 2 and "16 x 16, 3 words" in repr(vqa)
    kinds = vqa.ask(pictures(6), what_kind("pet"))
    assert set(kinds) <= {"pet", "plant", "cat"}
    assert vqa.ask(pictures(6), "Is this a plant?") == [
        "yes" if kind == "plant" else "no" for kind in kinds
    ]
    with pytest.raises(InputError, match="asks for none of the words"):
        vqa.ask(pictures(1), "is this a car?")
    with pytest.raises(InputError, match="at least two"):
        ZeroShotVqa(pipe, ["pet"]).ask(pictures(1), "what is it?")

"""Questions about pictures: a tiny random BLIP saved and loaded through the real code, and CLIP in a VQA's place."""

import pytest
import torch

from creativelib.errors import InputError
from creativelib.training.vqa import build_tokenizer
from creativelib.vqa import Blip2Vqa, BlipVqa, Vqa, ZeroShotVqa, is_a, what_color, what_kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipImageProcessor, BlipProcessor

    folder = tmp_path_factory.mktemp("blip")
    words = build_tokenizer(folder)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = small | {"vocab_size": len(words), "encoder_hidden_size": 16, "max_position_embeddings": 32, "pad_token_id": words.pad_token_id,
                    "bos_token_id": words.bos_token_id, "sep_token_id": words.sep_token_id, "eos_token_id": words.sep_token_id}
    model = BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=small | {"image_size": 16, "patch_size": 8}))
    model.half().save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 16, "width": 16}), words).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["t5", "opt"])
def second(request, tmp_path_factory):
    """A tiny random BLIP-2 whose language model has an encoder, or has none."""
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        Blip2QFormerConfig,
        BlipImageProcessor,
        OPTConfig,
        T5Config,
    )

    folder = tmp_path_factory.mktemp(f"blip2-{request.param}")
    words = build_tokenizer(folder)
    processor = Blip2Processor(BlipImageProcessor(size={"height": 16, "width": 16}), words, num_query_tokens=4)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"vocab_size": len(words), "pad_token_id": words.pad_token_id, "eos_token_id": words.sep_token_id}
    text = {"t5": T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=words.pad_token_id, **ids),
            "opt": OPTConfig(ffn_dim=32, max_position_embeddings=64, word_embed_proj_dim=16, bos_token_id=words.bos_token_id,
                             hidden_size=16, num_hidden_layers=1, num_attention_heads=2, **ids)}[request.param]
    config = Blip2Config(vision_config=small | {"image_size": 16, "patch_size": 8},
                         qformer_config=Blip2QFormerConfig(vocab_size=len(words), encoder_hidden_size=16, **small).to_dict(),
                         text_config=text.to_dict(), num_query_tokens=4, image_token_index=len(words) - 1)
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def pictures(n, size=16):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_questions():
    assert what_kind("pet") == "what kind of pet is in this photo?"
    assert (is_a("pet"), is_a("animal"), what_color("pet")) == ("is this a pet?", "is this an animal?", "what color is the pet?")


def test_a_blip_answers_once_for_each_picture(folder):
    vqa = BlipVqa.load(folder)
    assert isinstance(vqa, Vqa)
    answers = vqa.ask(pictures(70, 24), "is this a pet?")
    assert len(answers) == 70 and all(isinstance(answer, str) and "[" not in answer for answer in answers)


def test_answers_do_not_depend_on_the_batch(folder):
    vqa = BlipVqa.load(folder)
    together = vqa.ask(pictures(5), "what kind of pet is in this photo?")
    assert together == [vqa.ask(pictures(5)[i:i + 1], "what kind of pet is in this photo?")[0] for i in range(5)]


def test_a_blip_2_answers_once_for_each_picture(second):
    vqa = Blip2Vqa.load(second)
    assert isinstance(vqa, Vqa)
    answers = vqa.ask(pictures(3, 24), "is this a pet?")
    assert len(answers) == 3 and not any("question" in answer or "[" in answer for answer in answers)
    assert answers == [vqa.ask(pictures(3, 24)[i:i + 1], "is this a pet?")[0] for i in range(3)]
    with pytest.raises(InputError, match="question is ''"):
        vqa.ask(pictures(1), "")


def test_every_word_of_the_world_is_one_token(folder):
    from creativelib.world import CATEGORIES, captions

    words = BlipVqa.load(folder).processor.tokenizer
    assert all(len(words.tokenize(word)) == 1 for word in captions.words(CATEGORIES))
    assert "[UNK]" not in words.tokenize("a gryphon, and 3 more!")


@pytest.mark.parametrize(("call", "words"), [
    (lambda folder: BlipVqa.load(folder / "nowhere"), "vqa is"),
    (lambda folder: BlipVqa.load(folder, device="moon"), "device is 'moon'"),
    (lambda folder: Blip2Vqa.load(folder / "nowhere"), "vqa is"),
    (lambda folder: Blip2Vqa.load(folder, device="moon"), "device is 'moon'"),
    (lambda folder: BlipVqa.load(folder).ask(pictures(1), " "), "question is ' '"),
])
def test_bad_input(folder, call, words):
    with pytest.raises(InputError, match=words):
        call(folder)


def test_clip_in_a_vqas_place(pipe):
    vqa = ZeroShotVqa(pipe, ["pet", "plant", "cat"])
    assert isinstance(vqa, Vqa)
    kinds = vqa.ask(pictures(6), what_kind("pet"))
    assert set(kinds) <= {"pet", "plant", "cat"}
    assert vqa.ask(pictures(6), "Is this a plant?") == ["yes" if kind == "plant" else "no" for kind in kinds]
    with pytest.raises(InputError, match="asks for none of the words"):
        vqa.ask(pictures(1), "is this a car?")
    with pytest.raises(InputError, match="at least two"):
        ZeroShotVqa(pipe, ["pet"]).ask(pictures(1), "what is it?")

"""Every word of the world is one token; other text still encodes and decodes."""

import pytest

from creativelib.training import tokenizer
from creativelib.world import CATEGORIES, captions


@pytest.fixture(scope="module")
def words():
    return tokenizer.build()


def test_every_word_is_one_token(words):
    for word in captions.words(CATEGORIES):
        assert words.tokenize(word) == [word + "</w>"]


def test_any_other_text_encodes(words):
    text = "a zebra, 12 quokkas & one café!"
    ids = words(text).input_ids
    assert ids[0] == words.bos_token_id and ids[-1] == words.eos_token_id
    assert words.unk_token_id not in ids[1:-1]
    assert words.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")


def test_padding_ends_the_text_and_nothing_is_cut(words):
    ids = words("a photo of a pet", padding="max_length", max_length=tokenizer.LENGTH).input_ids
    assert len(ids) == tokenizer.LENGTH and ids[6:] == [words.eos_token_id] * (tokenizer.LENGTH - 6)
    assert words.model_max_length == tokenizer.LENGTH


def test_split_joins_the_lowest_rank_first():
    assert tokenizer.split("abc", {("b", "c</w>"): 0, ("a", "b"): 1}) == ["a", "bc</w>"]

"""Texts, words and templates: what is refused, and what is read right."""

import unicodedata

import pytest

from creativelib.english import (
    LONGEST,
    check_template,
    clean_templates,
    clean_text,
    clean_word,
    clean_words,
    different_texts,
    fill,
    subject_span,
    word_spans,
)
from creativelib.errors import InputError


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in word_spans(text)]


def subject(prompt: str) -> str | None:
    span = subject_span(prompt)
    return None if span is None else prompt[slice(*span)]


@pytest.mark.parametrize("text", ["", " ", "\n\t", None, 3, ["a pet"], b"a pet"])
def test_no_text_is_refused(text):
    with pytest.raises(InputError, match="prompt is .*; expected a text$"):
        clean_text("prompt", text)


@pytest.mark.parametrize("odd", ["\0", "\x1b", "\x7f", "\ud800"])
def test_control_characters_are_refused(odd):
    with pytest.raises(InputError, match="prompt is .*; expected a text without"):
        clean_text("prompt", f"a pet{odd}")


def test_very_long_texts_are_refused_at_once():
    with pytest.raises(InputError, match=f"has 20000001 characters; .* at most {LONGEST}"):
        clean_text("prompt", "x" * 20_000_001)


@pytest.mark.parametrize(
    "text", ["a {red} pet", "100 % pet", "%s %(pet)s", "חתול", "قطة", "🐱 cat", "猫", "a\u200bpet"]
)
def test_other_texts_stay_as_they_are(text):
    assert clean_text("prompt", text) == text


def test_accents_are_composed_and_spaces_single():
    decomposed = unicodedata.normalize("NFD", "a café\n on  a\tcôte ")
    assert clean_text("prompt", decomposed) == "a café on a côte"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a photo of a pet, 4k", ["a", "photo", "of", "a", "pet"]),
        ("R2D2 in 3d, 8k_uhd", ["R2D2", "in"]),
        (unicodedata.normalize("NFD", "ångström"), [unicodedata.normalize("NFD", "ångström")]),
        ("एक बिल्ली", ["एक", "बिल्ली"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("🐱 42 _ {} %", []),
        ("", []),
    ],
)
def test_words_are_whole(text, found):
    assert words(text) == found


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a red gryphon", "gryphon"),
        ("a photo of a pet.", "pet"),
        ("a photo of a pet, 4k", "pet"),
        ("a photo of a pet, highly detailed, 8k, trending on artstation", "pet"),
        ("a photo of a pet, Best Quality", "pet"),
        ("a red, shiny dragon", "dragon"),
        ("masterpiece", "masterpiece"),
        ("best quality, masterpiece", "quality"),
        ("masterpiece, a cat", "cat"),
        ("4k, 8k", None),
        ("🐱", None),
    ],
)
def test_the_subject_is_the_last_word_that_is_no_praise(prompt, wanted):
    assert subject(prompt) == wanted


@pytest.mark.parametrize(
    "values", ["cat", "c", b"cat", None, 3, {"cat": 1}, [""], [3], ["cat", "cat"], ["Cat", "cat "]]
)
def test_no_list_of_different_words_is_refused(values):
    with pytest.raises(InputError, match="negatives is "):
        clean_words("negatives", values)


def test_lists_of_words_are_clean():
    assert clean_words("negatives", ["cat", " hot  dog"]) == ("cat", "hot dog")
    assert clean_words("negatives", ()) == () and clean_words("negatives", iter(["a"])) == ("a",)
    with pytest.raises(InputError, match="at least 2"):
        clean_words("members", ["cat"], 2)
    with pytest.raises(InputError, match="word is 'a {}'; expected a word"):
        clean_word("word", "a {}")


def test_names_are_different_texts():
    assert different_texts("methods", ["a", "A"]) == ("a", "A")
    for values in ("ab", (), ("a", "a"), ("a", " "), ("a", 3), None):
        with pytest.raises(InputError, match="methods is "):
            different_texts("methods", values)


@pytest.mark.parametrize(
    "template", ["", "a pet", "{} {}", "a car{}", "{}s", "{0}", "{word}", None]
)
def test_no_template_is_refused(template):
    with pytest.raises(InputError, match="template is "):
        check_template(template)
    with pytest.raises(InputError, match="templates is "):
        clean_templates("templates", ["a {}", template])


@pytest.mark.parametrize(
    "template", ["{}", "a {red} {}", "{{}}", "100% {}", "{a} {} {b}", "{0} {}"]
)
def test_other_braces_stay(template):
    check_template(template)
    before, after = template.split("{}")
    assert fill(template, "pet {x}") == f"{before}pet {{x}}{after}"

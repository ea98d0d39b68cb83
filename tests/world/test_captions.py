"""Captions: shares of their kinds, words, lengths, and the way back from words to facts."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from creativelib.english import article
from creativelib.world import CATEGORIES, captions, category, styles
from creativelib.world.captions import bare_wild, parse, subject
from creativelib.world.distribution import WILD, Given
from creativelib.world.scenes import Scenes, caption, sample_scenes

LONGEST = 30  # words
WORDS = set(captions.words(CATEGORIES))
FORMS = ("{a}", "{}", "a picture of {a}", "{style} of {a}", "{a_style} of {a}")


def values_of(kind, row):
    return {f.name: list(f.values)[v] for f, v in zip(kind.factors, row, strict=False)}


@st.composite
def facts(draw):
    """Draw the facts that a caption may state, and the form of the caption."""
    kind = draw(st.sampled_from(CATEGORIES))
    values = {f.name: draw(st.sampled_from(list(f.values))) for f in kind.factors}
    structural = [f.name for f in kind.factors if f.structural]
    parts = draw(st.lists(st.sampled_from(structural), unique=True, max_size=4))
    return (
        kind,
        values,
        draw(st.sampled_from([None, *kind.species])),
        parts,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(FORMS)),
        draw(st.sampled_from(list(styles.NAMES))),
    )


@given(facts())
@settings(max_examples=300, deadline=None)
def test_parse_inverts_every_form(fact):
    kind, values, species, parts, color, pattern, form, style = fact
    text = subject(kind, values=values, species=species, parts=parts, color=color, pattern=pattern)
    text = form.format(text, a=article(text), style=style, a_style=article(style))
    stated = [*parts, *(["color"] if color else []), *(["pattern"] if pattern else [])]
    expected = Given(
        category=kind.name,
        species=species,
        values={name: values[name] for name in stated},
        style=style if "style" in form else None,
    )
    assert parse(text, CATEGORIES) == expected
    assert parse(text.upper(), CATEGORIES) == expected
    assert set(text.split()) <= WORDS


@given(st.integers(0, 2**30))
@settings(max_examples=50, deadline=None)
def test_captions_tell_the_truth(seed):
    scenes = sample_scenes(8, torch.Generator().manual_seed(seed), wild=0.3)
    for i, text in enumerate(caption(scenes, random.Random(seed), 0.3)):
        stated = parse(text, CATEGORIES)
        kind = CATEGORIES[int(scenes.category[i])]
        assert stated.category == kind.name
        assert stated.species in (None, [*kind.species, None][int(scenes.species[i])])
        assert stated.values.items() <= values_of(kind, scenes.factors[i].tolist()).items()
        assert stated.style is None or styles.index(stated.style) == scenes.style[i].tolist()
        assert "color" not in stated.values or styles.color_visible(scenes.style[i : i + 1]).item()
        assert set(text.split()) <= WORDS
        assert len(text.split()) <= LONGEST


@pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.name)
def test_the_longest_caption_fits(kind):
    phrases = {f.name: max(f.values, key=lambda v: len(f.values[v].split())) for f in kind.factors}
    parts = sorted(
        (f.name for f in kind.factors if f.structural),
        key=lambda name: -len(kind.factor(name).values[phrases[name]].split()),
    )
    longest = "a watercolor painting of " + article(
        subject(kind, values=phrases, species=None, parts=parts[:4], color=True, pattern=True)
    )
    assert len(longest.split()) <= LONGEST
    assert parse(longest, CATEGORIES).values.keys() == {*parts[:4], "color", "pattern"}


def bare(texts):
    """Tell which captions name only the category, apart from surface and style."""
    stated = [parse(text, CATEGORIES) for text in texts]
    return torch.tensor(
        [g.species is None and not g.values.keys() - {"color", "pattern"} for g in stated]
    )


def test_wild_pictures_are_as_rare_among_bare_captions_as_the_truth_says():
    scenes = sample_scenes(8000, torch.Generator().manual_seed(0), wild=0.3)
    is_bare = bare(caption(scenes, random.Random(0), 0.3))
    wild = scenes.species < 0
    n = int(is_bare.sum())
    hits = int((is_bare & wild).sum())
    assert abs(hits - WILD * n) < 3 * (WILD * (1 - WILD) * n) ** 0.5
    assert n / len(scenes) == pytest.approx(captions.BARE * 0.7 / (1 - WILD), rel=0.1)


@pytest.mark.parametrize("wild", [0.03, 0.1, 0.3, 0.6])
def test_bare_wild_solves_for_the_share(wild):
    share = bare_wild(wild)
    assert share * wild / (share * wild + captions.BARE * (1 - wild)) == pytest.approx(WILD)


def test_wild_pictures_are_never_given_a_species():
    scenes = sample_scenes(500, torch.Generator().manual_seed(0), wild=1.0)
    assert all(
        parse(text, CATEGORIES).species is None for text in caption(scenes, random.Random(0), 1.0)
    )


def test_the_same_seed_gives_the_same_captions():
    scenes: Scenes = sample_scenes(50, torch.Generator().manual_seed(0))
    assert caption(scenes, random.Random(5), 0.03) == caption(scenes, random.Random(5), 0.03)


def test_parts_read_as_english():
    values = values_of(category("pet"), [1, 3, 1, 0, 0, 0, 1, 1])
    assert (
        subject(
            category("pet"),
            values=values,
            species=None,
            parts=["ears", "tail"],
            color=True,
            pattern=True,
        )
        == "orange striped pet with long ears and a bushy tail"
    )
    assert article("orange pet") == "an orange pet"


def test_words_are_single_and_sorted():
    words = captions.words(CATEGORIES)
    assert words == sorted(set(words))
    assert all(word.isalpha() and word.islower() for word in words)


def test_text_about_nothing_in_the_menagerie_is_refused():
    with pytest.raises(
        ValueError,
        match=r"'a photo of a dragon' names nothing in the Menagerie; expected one of pet",
    ):
        parse("a photo of a dragon", CATEGORIES)

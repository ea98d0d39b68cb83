"""Each participant sees everything once, in an own order, and never the names of methods."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creativelib.errors import InputError
from creativelib.study.design import SCALE, Item, Study, fingerprint, plan, trials

STUDY = Study(
    "class", ("steered", "prompted", "evolved"), ("pet", "plant"), pictures=3, pairs=2, checks=4
)


@st.composite
def designs(draw):
    methods = draw(st.integers(1, 3))
    categories = draw(st.integers(1, 2))
    pictures = draw(st.integers(1, 3))
    return {
        "methods": tuple(f"zz{i}" for i in range(methods)),
        "categories": tuple(f"kind{i}" for i in range(categories)),
        "pictures": pictures,
        "pairs": draw(st.integers(0, pictures if methods > 1 else 0)),
        "checks": draw(st.integers(1, methods * categories * pictures)),
        "seed": draw(st.integers(0, 99)),
    }


FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


@FEW
@given(designs(), SEEDS)
def test_everything_is_shown_once(design, seed):
    study = Study("class", **design)
    shown = plan(study, seed)
    assert len({trial.id for trial in shown}) == len(shown)
    rated = Counter(trial.items[0] for trial in shown if len(trial.items) == 1)
    assert rated == Counter(
        Item(m, c, i)
        for m in study.methods
        for c in study.categories
        for i in range(study.pictures)
    )
    compared = Counter(frozenset(trial.items) for trial in shown if len(trial.items) == 2)
    assert compared == Counter(
        frozenset((Item(a, c, i), Item(b, c, i)))
        for a, b in combinations(study.methods, 2)
        for c in study.categories
        for i in range(study.pairs)
    )
    assert sum(trial.known is not None for trial in shown) == study.checks
    assert all(trials(study)[trial.id] == trial for trial in shown)


@FEW
@given(designs(), SEEDS)
def test_sides_are_balanced(design, seed):
    study = Study("class", **design)
    left = Counter(
        tuple(item.method for item in trial.items)
        for trial in plan(study, seed)
        if len(trial.items) == 2
    )
    for a, b in combinations(study.methods, 2):
        assert abs(left[a, b] - left[b, a]) == len(study.categories) * study.pairs % 2


def test_the_odd_pair_and_the_places_of_sides_are_random():
    study = replace(STUDY, categories=("pet",), pairs=3)
    pairs = [
        [trial.items for trial in plan(study, seed) if len(trial.items) == 2] for seed in range(400)
    ]
    # Each method is on the left in 2 to 4 of 6 comparisons; the mean over 400 participants has a
    # standard deviation of 0.7 / 20.
    for method in study.methods:
        count = sum(left.method == method for own in pairs for left, _ in own)
        assert count / 400 == pytest.approx(3, abs=0.15)
    assert len({own[0] for own in pairs}) == 18


@FEW
@given(designs(), SEEDS)
def test_checks_are_spread(design, seed):
    study = Study("class", **design)
    shown = plan(study, seed)
    places = [n for n, trial in enumerate(shown) if trial.known is not None]
    others = len(shown) - study.checks
    for k, place in enumerate(places):
        assert others * k // study.checks <= place - k < others * (k + 1) // study.checks
    assert all(later - earlier > 1 for earlier, later in zip(places, places[1:], strict=False))


@FEW
@given(designs(), SEEDS)
def test_a_check_says_its_answer_and_other_trials_know_none(design, seed):
    study = Study("class", **design)
    for trial in plan(study, seed):
        if trial.known is None:
            assert trial.items
        else:
            assert not trial.items
            assert f"choose {trial.known}." in trial.questions[0].text
            assert 1 <= trial.known <= SCALE


@FEW
@given(designs(), SEEDS)
def test_nothing_shown_depends_on_what_methods_are_called(design, seed):
    study = Study("class", **design)
    renamed = replace(study, methods=tuple(f"other {method}" for method in study.methods))
    one, other = (plan(each, seed) for each in (study, renamed))
    assert [(trial.id, trial.questions) for trial in one] == [
        (trial.id, trial.questions) for trial in other
    ]
    assert not re.search("zz[0-9]", repr([(trial.id, trial.questions) for trial in one]))


def test_identifiers_tell_nothing():
    """All look alike, and those of one method lie scattered among the others."""
    pages = trials(replace(STUDY, pictures=30, pairs=0)).values()
    assert all(re.fullmatch("t[0-9]{4}", trial.id) for trial in pages)
    for method in STUDY.methods:
        places = [
            n for n, trial in enumerate(pages) if trial.items and trial.items[0].method == method
        ]
        assert sum(places) / len(places) == pytest.approx(len(pages) / 2, rel=0.15)


@FEW
@given(designs(), SEEDS)
def test_the_same_seed_gives_the_same_plan(design, seed):
    study = Study("class", **design)
    assert plan(study, seed) == plan(replace(study), seed)


def test_other_seeds_give_other_plans():
    assert len({tuple(trial.id for trial in plan(STUDY, seed)) for seed in range(100)}) == 100


def test_plans_do_not_change_between_versions():
    """A participant who comes back after an update resumes in the same order."""
    assert [trial.id for trial in plan(STUDY, 0)][:5] == [
        "t0007",
        "t0043",
        "t0021",
        "t0030",
        "t0027",
    ]


def test_questions_are_the_protocols():
    texts = {
        question.text
        for trial in plan(STUDY, 0)
        if trial.known is None
        for question in trial.questions
    }
    assert texts == {
        "How imaginative is it?",
        "How plausible is it?",
        "Is it a pet?",
        "Is it a plant?",
        "Which is more imaginative?",
    }
    # By the number of pictures: none in a check, one to rate, two to compare.
    wanted = {0: [5], 1: [5, 5, 5], 2: [3]}
    for trial in plan(STUDY, 0):
        counts = [len(question.options) for question in trial.questions]
        assert counts == wanted[len(trial.items)]


def test_fingerprints_tell_studies_apart():
    others = [
        replace(STUDY, **{name: value})
        for name, value in (
            ("name", "another"),
            ("methods", ("steered", "prompted", "mixed")),
            ("categories", ("pet", "fruit")),
            ("pictures", 4),
            ("pairs", 1),
            ("checks", 3),
            ("seed", 1),
        )
    ]
    assert len({fingerprint(study) for study in (STUDY, *others)}) == 8
    assert fingerprint(replace(STUDY)) == fingerprint(STUDY)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": " "}, "name is ' '"),
        ({"methods": ()}, "methods is ()"),
        (
            {"methods": ("a", "a")},
            "methods is ('a', 'a'); expected one or more texts, no two alike",
        ),
        ({"categories": ("pet", "")}, "categories is ('pet', '')"),
        ({"pictures": 0}, "pictures is 0; expected 1 or more"),
        ({"pairs": 4}, "pairs is 4; expected 0 to the number of pictures, 3"),
        ({"pairs": -1}, "pairs is -1"),
        ({"methods": ("steered",)}, "pairs is 2 with 1 method"),
        ({"checks": 0}, "checks is 0"),
        ({"checks": 31}, "checks is 31; expected 1 to the number of other trials, 30"),
    ],
)
def test_wrong_input_is_named(changes: dict, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        replace(STUDY, **changes)

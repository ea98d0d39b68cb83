"""The notebook's page, driven by its click handlers without a kernel."""

import base64
import io
import re
import sqlite3
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from creativelib.errors import InputError
from creativelib.study.design import Study, plan
from creativelib.study.rating import WIDTH, RatingStudy, position
from creativelib.study.store import Votes, seed_of

STUDY = Study("class", ("zigzag", "quokka"), ("pet", "plant"), pictures=2, pairs=1, checks=2)
CODE = "0badcafe"
TRIALS = plan(STUDY, seed_of(CODE))


@pytest.fixture
def votes(tmp_path) -> Votes:
    return Votes(tmp_path / "votes.db", STUDY)


def pictures(methods: tuple[str, ...] = STUDY.methods) -> dict[str, torch.Tensor]:
    """Make pictures that each have a gray of their own."""
    grays = torch.linspace(0, 1, 8).view(2, 2, 2, 1, 1, 1).expand(2, 2, 2, 3, 4, 8)
    return dict(zip(methods, grays, strict=True))


def gray(item) -> int:
    category = STUDY.categories.index(item.category)
    return round(255 * pictures()[item.method][category, item.index, 0, 0, 0].item())


def choices(page: RatingStudy) -> list[widgets.ToggleButtons]:
    return [child for child in page.children if isinstance(child, widgets.ToggleButtons)]


def text(page: RatingStudy) -> str:
    return "".join(child.value for child in page.children if isinstance(child, widgets.HTML))


def button(page: RatingStudy) -> widgets.Button:
    return next(child for child in page.children if isinstance(child, widgets.Button))


def choose(page: RatingStudy, answer: int) -> None:
    for choice in choices(page):
        choice.value = answer


def state(widget: widgets.Widget) -> list[Any]:
    """Return all that a browser receives, except for the widgets' random numbers."""
    own = {
        name: value
        for name, value in widget.get_state().items()
        if name not in ("children", "layout", "style")
    }
    return [own, *(state(child) for child in getattr(widget, "children", ()))]


def test_every_trial_is_shown_and_kept_before_the_next(votes):
    page = RatingStudy(votes, pictures(), CODE)
    for n, trial in enumerate(TRIALS):
        assert f"<b>{n + 1} of {len(TRIALS)}</b>" in text(page)
        assert [choice.description for choice in choices(page)] == [
            question.text for question in trial.questions
        ]
        assert [tuple(label for label, _ in choice.options) for choice in choices(page)] == [
            q.options for q in trial.questions
        ]
        choose(page, n % 3 + 1)
        assert trial.id not in votes.answered(CODE)
        button(page).click()
        assert trial.id in votes.answered(CODE)
    assert [(vote.trial, vote.question, vote.answer) for vote in votes.read()] == [
        (trial.id, question.name, n % 3 + 1)
        for n, trial in enumerate(TRIALS)
        for question in trial.questions
    ]
    assert f"All {len(TRIALS)} of {len(TRIALS)} are answered" in text(page) and not choices(page)
    assert repr(page) == f"RatingStudy(participant {CODE}, {len(TRIALS)} of {len(TRIALS)} answered)"


def test_pictures_are_the_trials_from_left_to_right(votes):
    page = RatingStudy(votes, pictures(), CODE)
    for trial in TRIALS:
        tags = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', text(page))
        images = [Image.open(io.BytesIO(base64.b64decode(data))) for data, _ in tags]
        assert [image.convert("L").getpixel((9, 9)) for image in images] == [
            gray(item) for item in trial.items
        ]
        assert all(image.size == (WIDTH, WIDTH // 2) and not image.info for image in images)
        assert [alt for _, alt in tags] == (
            [],
            ["the picture to rate"],
            ["the left picture", "the right picture"],
        )[len(trial.items)]
        choose(page, 1)
        button(page).click()


def test_large_pictures_keep_their_size(votes):
    page = RatingStudy(
        votes, {method: torch.zeros(2, 2, 3, 300, 300) for method in STUDY.methods}, CODE
    )
    while not (found := re.search(r"base64,([^\"]+)", text(page))):
        choose(page, 1)
        button(page).click()
    assert Image.open(io.BytesIO(base64.b64decode(found.group(1)))).size == (300, 300)


def test_next_waits_for_every_answer(votes):
    page = RatingStudy(votes, pictures(), CODE)
    for trial in TRIALS:
        for choice in choices(page):
            assert button(page).disabled
            button(page).click()  # a click that was under way
            assert trial.id not in votes.answered(CODE)
            choice.value = 1
        assert not button(page).disabled
        button(page).click()


def test_a_double_click_votes_once(votes):
    page = RatingStudy(votes, pictures(), CODE)
    for n in range(len(TRIALS)):
        choose(page, 1)
        button(page).click()
        for child in [page._next] * 2:  # at the end the button is no longer shown
            child.click()
        assert len(votes.answered(CODE)) == n + 1


def test_a_participant_resumes_at_the_first_unanswered_trial(votes):
    page = RatingStudy(votes, pictures(), CODE)
    for _ in range(3):
        choose(page, 2)
        button(page).click()
    choose(page, 3)  # chosen, but not kept
    again = RatingStudy(votes, pictures(), CODE)
    assert f"<b>4 of {len(TRIALS)}</b>" in text(again)
    assert all(choice.value is None for choice in choices(again))
    assert RatingStudy(votes, pictures(), "00000001")._position.answered == 0


def test_two_notebooks_of_one_participant(votes):
    """A second notebook does not repeat a stored question, and its late answer does not count."""
    one, other = (RatingStudy(votes, pictures(), CODE) for _ in range(2))
    for answer in (1, 2):
        choose(one, answer)
        button(one).click()
    choose(other, 3)
    button(other).click()
    assert {vote.answer for vote in votes.read()} == {1, 2}
    assert f"<b>3 of {len(TRIALS)}</b>" in text(other)


def test_a_vote_that_cannot_be_kept_stays_on_the_page(votes, monkeypatch):
    monkeypatch.setattr("creativelib.study.store._BUSY_TIMEOUT", 0.01)
    page = RatingStudy(votes, pictures(), CODE)
    choose(page, 1)
    other = sqlite3.connect(votes.file)
    other.execute("BEGIN IMMEDIATE")
    button(page).click()
    assert "not kept yet (database is locked)" in text(page)
    assert all(choice.value == 1 for choice in choices(page))
    other.close()
    button(page).click()
    assert len(votes.answered(CODE)) == 1 and "not kept" not in text(page)


def test_nothing_the_browser_gets_depends_on_methods_names(votes, tmp_path):
    renamed = replace(STUDY, methods=("numbat", "okapi"))
    one = RatingStudy(votes, pictures(), CODE)
    other = RatingStudy(Votes(tmp_path / "other.db", renamed), pictures(renamed.methods), CODE)
    for _ in range(len(TRIALS) + 1):
        assert state(one) == state(other)
        assert not any(method in repr(state(one)) for method in STUDY.methods)
        for page in (one, other):
            if choices(page):
                choose(page, 1)
                button(page).click()


def test_every_button_has_a_name(votes):
    page = RatingStudy(votes, pictures(), CODE)
    assert button(page).description == "Next"
    for choice in choices(page):
        assert list(choice.tooltips) == [
            f"{choice.description} {label}" for label, _ in choice.options
        ]


def test_a_new_participant_gets_a_code(votes):
    pages = [RatingStudy(votes, pictures()) for _ in range(2)]
    assert pages[0].participant != pages[1].participant
    assert all(page.participant in text(page) for page in pages)


def test_position_needs_no_widget():
    done = frozenset(trial.id for trial in TRIALS[:2])
    found = position(STUDY, CODE, done)
    assert found.trial == TRIALS[2] and found.answered == 2
    assert position(STUDY, CODE, frozenset(trial.id for trial in TRIALS)).trial is None


def test_wrong_input_is_named(votes):
    with pytest.raises(InputError, match="participant is 'Anna'"):
        RatingStudy(votes, pictures(), "Anna")
    with pytest.raises(
        InputError,
        match=re.escape(
            "pictures holds methods ['quokka']; expected the study's, ['quokka', 'zigzag']"
        ),
    ):
        RatingStudy(votes, {"quokka": pictures()["quokka"]}, CODE)
    few = {method: own[:, :1] for method, own in pictures().items()}
    with pytest.raises(
        InputError,
        match=re.escape(
            "pictures of 'zigzag' are (2, 1) (categories, pictures); expected the study's"
        ),
    ):
        RatingStudy(votes, few, CODE)

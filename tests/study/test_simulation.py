"""Simulated raters: the curve that they follow, and an analysis that recovers their settings."""

import re
from functools import cache

import pytest
import torch

from creativelib.errors import InputError
from creativelib.study.agreement import krippendorff_alpha
from creativelib.study.design import Study, plan, trials
from creativelib.study.preference import bradley_terry
from creativelib.study.simulation import PEAK, Raters, arousal, simulate
from creativelib.study.store import Votes, seed_of
from creativelib.study.tables import (
    answer_matrix,
    comparison_table,
    participant_means,
    rating_table,
    screen,
    win_counts,
)

STUDY = Study("simulated", ("typical", "peak", "far"), ("pet",), pictures=3, pairs=2)
RARITY = torch.tensor([0.2, 1.25, 2.6]).view(3, 1, 1).expand(3, 1, 3)
VALID = torch.tensor([True, True, False]).view(3, 1, 1).expand(3, 1, 3)
DEFAULT = Raters()


@cache
def made(raters: Raters = DEFAULT, seed: int = 0):
    return simulate(STUDY, RARITY, VALID, raters, generator=torch.Generator().manual_seed(seed))


def test_the_curve_rises_to_its_peak_and_falls_beyond():
    x = torch.linspace(-1, 4, 501, dtype=torch.float64)
    y = arousal(x)
    top = int(y.argmax())
    assert x[top].item() == pytest.approx(PEAK) and y[top].item() == pytest.approx(1)
    assert (y[1 : top + 1] > y[:top]).all() and (y[top + 1 :] < y[top:-1]).all() and (y > 0).all()
    typical, tail, far = arousal(torch.tensor([0.0, 1.0, 3.0])).tolist()
    assert typical < 0.1 and tail > 0.8 and far < 0.1


def test_votes_go_into_the_same_store_and_are_called_simulated(tmp_path):
    found = made()
    store = Votes(tmp_path / "votes.db", STUDY)
    store.add(found.votes)
    assert store.read() == found.votes
    codes = dict.fromkeys(vote.participant for vote in found.votes)
    assert len(codes) == 20 and all(code.startswith("simulated-") for code in codes)
    for code in codes:  # in the order of the plan, with times that no person votes at
        own = [vote for vote in found.votes if vote.participant == code]
        assert list(dict.fromkeys(vote.trial for vote in own)) == [
            trial.id for trial in plan(STUDY, seed_of(code))
        ]
        times = [vote.time for vote in own]
        assert times == sorted(times) and max(times) < "1970-01-02"


def test_the_same_seed_gives_the_same_votes():
    few = Raters(3, 1)
    assert made.__wrapped__(few) == made(few) and made(few).votes != made(few, seed=1).votes


def test_exactly_the_careless_are_left_out():
    """A careless one passes all three checks once in 125 times; none of these does."""
    found = made(Raters(15, 5))
    assert len(found.careless) == 5
    assert set(screen(found.votes, STUDY).failed) == set(found.careless)
    assert len(screen(found.votes, STUDY).kept) == 10
    assert screen(made(Raters(15, 0)).votes, STUDY).failed == ()


def test_careless_answers_are_random():
    votes = made(Raters(30, 30)).votes
    counts = torch.tensor(
        [vote.answer for vote in votes if vote.question in ("imaginative", "plausible", "category")]
    ).bincount()[1:]
    assert (counts / counts.sum()).tolist() == pytest.approx([0.2] * 5, abs=0.04)


def test_without_noise_answers_are_the_curve_and_the_validity():
    table = rating_table(made(Raters(5, 0, bias=0.0, noise=0.0)).votes, STUDY)
    wanted = (1 + 4 * arousal(RARITY[:, 0, 0])).round().tolist()
    assert participant_means(table, STUDY, "imaginative").tolist() == [wanted] * 5
    assert wanted[1] == 5
    for question in ("plausible", "category"):
        assert participant_means(table, STUDY, question).tolist() == [[5, 5, 1]] * 5


def test_raters_prefer_the_more_imaginative_whichever_side_it_is_on():
    found = screen(made(Raters(20, 2)).votes, STUDY)
    table = comparison_table(found.votes, STUDY)
    strength = bradley_terry(win_counts(table, STUDY).sum(0), ties=1.0)
    assert strength[1] > 0.9 and strength[0] > strength[2]
    assert sum(table["share"].tolist()) / len(table) == pytest.approx(0.5, abs=0.08)


def test_a_bias_is_a_raters_own():
    """With a bias and no noise, raters differ and each answers alike pictures alike."""
    answers = answer_matrix(
        rating_table(made(Raters(12, 0, bias=1.0, noise=0.0)).votes, STUDY), "imaginative"
    )
    groups = answers.view(12, 3, 3)  # far, peak, typical: three pictures each
    assert (groups.std(2) == 0).all() and (groups[:, :, 0].std(0) > 0.3).all()


def test_agreement_falls_with_noise():
    alphas = []
    for noise in (0.0, 0.5, 1.0, 3.0):
        votes = made(Raters(10, careless=0, bias=0.0, noise=noise)).votes
        answers = answer_matrix(rating_table(votes, STUDY), "imaginative")
        alphas.append(krippendorff_alpha(answers, "ordinal"))
    assert alphas[0] == pytest.approx(1)
    assert alphas == sorted(alphas, reverse=True) and alphas[-1] < 0.4


def test_careless_raters_spoil_agreement_and_screening_restores_it():
    votes = made(Raters(15, 6)).votes
    spoiled, restored = (
        krippendorff_alpha(answer_matrix(rating_table(own, STUDY), "plausible"), "ordinal")
        for own in (votes, screen(votes, STUDY).votes)
    )
    assert restored > spoiled + 0.2


def test_every_vote_is_one_that_a_participant_could_give():
    pages = trials(STUDY)
    for vote in made(Raters(10, 5, bias=3.0, noise=3.0)).votes:
        options = next(
            question.options
            for question in pages[vote.trial].questions
            if question.name == vote.question
        )
        assert 1 <= vote.answer <= len(options)


def test_wrong_input_is_named():
    generator = torch.Generator()
    for call, message in (
        (lambda: Raters(0), "count is 0; expected 1 or more"),
        (lambda: Raters(3, 4), "careless is 4; expected 0 to the number of raters, 3"),
        (lambda: Raters(bias=-1), "bias is -1"),
        (lambda: Raters(noise=-1), "noise is -1"),
        (
            lambda: simulate(STUDY, RARITY[:2], VALID[:2], Raters(), generator=generator),
            "rarity has shape (2, 1, 3); expected",
        ),
        (
            lambda: simulate(STUDY, RARITY * torch.nan, VALID, Raters(), generator=generator),
            "rarity holds numbers that are not finite",
        ),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            call()

"""Tables and tensors of votes against ones that were written by hand."""

import math
import re
from dataclasses import replace

import pytest
import torch

from creativelib.errors import InputError
from creativelib.study.design import Item, Study, plan, trials
from creativelib.study.store import Vote, ballot, seed_of
from creativelib.study.tables import (
    answer_matrix,
    comparison_table,
    participant_means,
    rating_table,
    screen,
    win_counts,
)

STUDY = Study("class", ("steered", "prompted"), ("pet",), pictures=2, pairs=2, checks=2)
FOUND = {trial.items: trial for trial in trials(STUDY).values() if trial.items}
TIME = "2025-01-31T12:00:00+00:00"
ANNA = "0badcafe"
BERT = "00000001"


def rated(participant: str, method: str, index: int, imaginative: int) -> list[Vote]:
    answers = {"imaginative": imaginative, "plausible": 2, "category": 3}
    return ballot(participant, FOUND[Item(method, "pet", index),], answers, TIME)


def compared(participant: str, left: str, right: str, index: int, answer: int) -> list[Vote]:
    return ballot(
        participant,
        FOUND[Item(left, "pet", index), Item(right, "pet", index)],
        {"prefer": answer},
        TIME,
    )


def everything(participant: str, wrong: int = 0, until: int | None = None) -> list[Vote]:
    """Answer a participant's plan, or its first `until` trials, with `wrong` checks failed."""
    votes = []
    for trial in plan(STUDY, seed_of(participant))[:until]:
        answer = 1 if trial.known is None else trial.known
        if trial.known is not None and wrong:
            answer = trial.known % 5 + 1
            wrong = wrong - 1
        votes += ballot(
            participant, trial, {question.name: answer for question in trial.questions}, TIME
        )
    return votes


VOTES = [
    *rated(ANNA, "steered", 0, 5),
    *rated(ANNA, "steered", 1, 4),
    *rated(ANNA, "prompted", 0, 1),
    *rated(BERT, "steered", 1, 2),
    *compared(ANNA, "steered", "prompted", 0, 1),
    *compared(ANNA, "prompted", "steered", 1, 3),
    *compared(BERT, "prompted", "steered", 0, 1),
    *compared(BERT, "steered", "prompted", 1, 2),
]


def test_ratings():
    table = rating_table(VOTES, STUDY)
    columns = ["participant", "question", "method", "category", "picture", "answer"]
    assert list(table.columns) == columns and len(table) == 12
    assert tuple(table.iloc[3]) == (ANNA, "imaginative", "steered", "pet", 1, 4)


def test_comparisons_name_the_method_on_the_left():
    table = comparison_table(VOTES, STUDY)
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        (ANNA, "pet", 0, "steered", "prompted", 1.0),
        (ANNA, "pet", 1, "prompted", "steered", 0.0),
        (BERT, "pet", 0, "prompted", "steered", 1.0),
        (BERT, "pet", 1, "steered", "prompted", 0.5),
    ]


def test_wins_count_for_the_method_on_either_side():
    assert win_counts(comparison_table(VOTES, STUDY), STUDY).tolist() == [
        [[0, 2], [0, 0]],
        [[0, 0.5], [1.5, 0]],
    ]


def test_means_of_participants():
    means = participant_means(rating_table(VOTES, STUDY), STUDY, "imaginative")
    wanted = torch.tensor([[2, -1], [4.5, 1]], dtype=torch.float64)  # participants by code
    assert torch.equal(means.nan_to_num(-1), wanted)


def test_answers_by_picture():
    answers = answer_matrix(rating_table(VOTES, STUDY), "imaginative")
    assert answers.shape == (2, 3)
    assert sorted(map(tuple, answers.nan_to_num(-1).T.tolist())) == [(-1, 1), (-1, 5), (2, 4)]


def test_participants_who_fail_a_check_are_excluded_and_named():
    """One wrong answer is enough, wherever it comes.

    A participant who saw no check cannot be distinguished from a careless one.
    """
    start = next(
        n for n, trial in enumerate(plan(STUDY, seed_of("00000007"))) if trial.known is not None
    )
    votes = (
        everything(ANNA)
        + everything(BERT, wrong=1)
        + everything("00000003", wrong=2)
        + everything("00000007", until=start)
    )
    found = screen(votes, STUDY)
    assert (found.kept, found.failed, found.unchecked) == (
        (ANNA,),
        (BERT, "00000003"),
        ("00000007",),
    )
    assert found.votes == [vote for vote in everything(ANNA) if vote.question != "check"]
    assert screen(votes[::-1], STUDY).failed == ("00000003", BERT)


def test_nobody_voted():
    found = screen([], STUDY)
    assert (found.votes, found.kept, found.failed, found.unchecked) == ([], (), (), ())
    assert rating_table([], STUDY).empty and comparison_table([], STUDY).empty
    assert win_counts(comparison_table([], STUDY), STUDY).shape == (0, 2, 2)


def test_wrong_input_is_named():
    other = [replace(VOTES[0], trial="t9999")]
    for read in (screen, rating_table, comparison_table):
        with pytest.raises(InputError, match="of trial 't9999'; expected those of study 'class'"):
            read(other, STUDY)
    table = rating_table(VOTES, STUDY)
    for read in (
        lambda: participant_means(table, STUDY, "pretty"),
        lambda: answer_matrix(table, "pretty"),
    ):
        with pytest.raises(
            InputError,
            match=re.escape(
                "question is 'pretty'; expected those that were rated: ['category', 'imag"
            ),
        ):
            read()


def test_a_method_that_nobody_rated_is_a_column_of_nan():
    means = participant_means(
        rating_table(rated(ANNA, "prompted", 0, 3), STUDY), STUDY, "imaginative"
    )
    assert math.isnan(means[0, 0]) and means[0, 1] == 3

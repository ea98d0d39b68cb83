"""Tables and tensors of votes: screened participants, ratings and comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, nearest
from .design import COMPARISON, Study, Trial, trials
from .store import Vote


@dataclass(frozen=True)
class Screening:
    """Result of the attention checks. A report should give the size of all three groups."""

    # Votes of the participants in `kept`, without checks.
    votes: list[Vote]
    # Participants who answered every check that they saw, and at least one, correctly.
    kept: tuple[str, ...]
    # Participants who answered a check wrongly.
    failed: tuple[str, ...]
    # Participants who stopped before their first check.
    unchecked: tuple[str, ...]


def screen(votes: Sequence[Vote], study: Study) -> Screening:
    """Exclude every participant who answered an attention check wrongly or saw none.

    State this rule before the votes are in. A participant who answers at random passes c checks
    with a probability of 1 in 5 to the power of c. Raises InputError for votes of another study.
    """
    pages = _pages(votes, study)
    checks = {id: trial.known for id, trial in pages.items() if trial.known is not None}
    passed: dict[str, bool | None] = dict.fromkeys(vote.participant for vote in votes)
    for vote in votes:
        if vote.trial in checks:
            correct = vote.answer == checks[vote.trial]
            passed[vote.participant] = passed[vote.participant] is not False and correct
    kept, failed, unchecked = (
        tuple(code for code, state in passed.items() if state is wanted)
        for wanted in (True, False, None)
    )
    return Screening(
        votes=[vote for vote in votes if passed[vote.participant] and vote.trial not in checks],
        kept=kept,
        failed=failed,
        unchecked=unchecked,
    )


def rating_table(votes: Sequence[Vote], study: Study) -> pd.DataFrame:
    """Make a table with one row for each answer on a scale.

    Columns are participant, question, method, category, picture and answer (1 to 5). Raises
    InputError for votes of another study.
    """
    pages = _pages(votes, study)
    rows = [
        (vote.participant, vote.question, item.method, item.category, item.index, vote.answer)
        for vote in votes
        if len(pages[vote.trial].items) == 1
        for item in pages[vote.trial].items
    ]
    return pd.DataFrame(
        rows, columns=["participant", "question", "method", "category", "picture", "answer"]
    )


def comparison_table(votes: Sequence[Vote], study: Study) -> pd.DataFrame:
    """Make a table with one row for each comparison.

    Columns are participant, category, picture, the methods `left` and `right`, and `share`: 1 if
    the left one was preferred, 0 if the right one was, and 0.5 if they were about the same. Raises
    InputError for votes of another study.
    """
    pages = _pages(votes, study)
    rows = []
    for vote in votes:
        if vote.question == COMPARISON.name:
            left, right = pages[vote.trial].items
            share = (3 - vote.answer) / 2
            methods = (left.method, right.method)
            rows.append((vote.participant, left.category, left.index, *methods, share))
    return pd.DataFrame(
        rows, columns=["participant", "category", "picture", "left", "right", "share"]
    )


def participant_means(ratings: pd.DataFrame, study: Study, question: str) -> Float[Tensor, "p m"]:
    """Average a participant's answers to a question for each method, from a `rating_table`.

    Methods are in the study's order; NaN marks a method without an answer. Raises InputError for a
    question that no rating answers.
    """
    own = _of_question(ratings, question)
    means = own.pivot_table(index="participant", columns="method", values="answer", aggfunc="mean")
    return _tensor(means.reindex(columns=list(study.methods)))


def answer_matrix(ratings: pd.DataFrame, question: str) -> Float[Tensor, "p u"]:
    """Collect each participant's answers to a question for each picture, from a `rating_table`.

    The pictures are those that anyone rated, sorted by method, category and number. NaN marks a
    missing answer. Raises InputError for a question that no rating answers.
    """
    answers = _of_question(ratings, question).pivot(
        index="participant", columns=["method", "category", "picture"], values="answer"
    )
    return _tensor(answers.sort_index(axis=1))


def win_counts(comparisons: pd.DataFrame, study: Study) -> Float[Tensor, "p m m"]:
    """Count how often each participant preferred method i to j, from a `comparison_table`.

    The count is element (i, j); a tie counts half for both.
    """
    number = {method: i for i, method in enumerate(study.methods)}
    people = {code: i for i, code in enumerate(comparisons["participant"].unique())}
    wins = torch.zeros(len(people), len(number), len(number), dtype=torch.float64)
    columns = comparisons[["participant", "left", "right", "share"]]
    for code, left, right, share in columns.itertuples(index=False):
        wins[people[code], number[left], number[right]] += share
        wins[people[code], number[right], number[left]] += 1 - share
    return wins


def _pages(votes: Sequence[Vote], study: Study) -> Mapping[str, Trial]:
    """Return the study's trials, after a check that the votes belong to it."""
    pages = trials(study)
    for vote in votes:
        questions = pages[vote.trial].questions if vote.trial in pages else ()
        if vote.question not in [question.name for question in questions]:
            raise InputError(
                f"votes hold question {vote.question!r} of trial {vote.trial!r}; "
                f"expected those of study {study.name!r}"
            )
    return pages


def _tensor(table: pd.DataFrame) -> Float[Tensor, "p k"]:
    # A copy, because torch cannot read the negative strides of a table with reversed columns.
    return torch.tensor(table.to_numpy(dtype=float).copy())


def _of_question(ratings: pd.DataFrame, question: str) -> pd.DataFrame:
    own = ratings.loc[ratings["question"] == question]
    if own.empty:
        rated = sorted(ratings["question"].unique())
        raise InputError(
            f"question is {question!r}; expected those that were rated: {rated}"
            f"{nearest(question, rated)}"
        )
    return own

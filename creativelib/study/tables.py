"""From votes to tables and tensors: who is left out, what was rated, who was preferred to whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .design import COMPARISON, Study, Trial, trials
from .store import Vote


@dataclass(frozen=True)
class Screening:
    """`votes` are those of the participants `kept`, without checks. `failed` answered a check wrongly, `unchecked` stopped before the
    first. How many there are of all three belongs in a report."""

    votes: list[Vote]
    kept: tuple[str, ...]
    failed: tuple[str, ...]
    unchecked: tuple[str, ...]


def screen(votes: Sequence[Vote], study: Study) -> Screening:
    """Leave out every participant who answered one attention check or more wrongly, or met none: a rule to state before the votes are in.

    Someone who answers at random passes c checks with a chance of 1 in 5 to the power of c. Raises InputError for votes of another study.
    """
    known = {
        id: trial.known for id, trial in _pages(votes, study).items() if trial.known is not None
    }
    passed: dict[str, bool | None] = dict.fromkeys(vote.participant for vote in votes)
    for vote in votes:
        if vote.trial in known:
            passed[vote.participant] = (
                passed[vote.participant] is not False and vote.answer == known[vote.trial]
            )
    kept, failed, unchecked = (
        tuple(code for code, state in passed.items() if state is wanted)
        for wanted in (True, False, None)
    )
    return Screening(
        [vote for vote in votes if passed[vote.participant] and vote.trial not in known],
        kept,
        failed,
        unchecked,
    )


def rating_table(votes: Sequence[Vote], study: Study) -> pd.DataFrame:
    """One row for each answer on a scale: participant, question, method, category, picture and answer (1 to 5).

    Raises InputError for votes of another study.
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
    """One row for each comparison: participant, category, picture, the methods `left` and `right`, and the `share` that the left one gets:
    1 if it was preferred, 0 if the right one was, and 0.5 if they were about the same.

    Raises InputError for votes of another study.
    """
    pages = _pages(votes, study)
    rows = []
    for vote in votes:
        if vote.question == COMPARISON.name:
            left, right = pages[vote.trial].items
            rows.append(
                (
                    vote.participant,
                    left.category,
                    left.index,
                    left.method,
                    right.method,
                    (3 - vote.answer) / 2,
                )
            )
    return pd.DataFrame(
        rows, columns=["participant", "category", "picture", "left", "right", "share"]
    )


def participant_means(ratings: pd.DataFrame, study: Study, question: str) -> Float[Tensor, "p m"]:
    """From a `rating_table`, each participant's mean answer to a question for each method, in the study's order; NaN where there is none.

    Raises InputError for a question that no rating answers.
    """
    own = _of_question(ratings, question)
    means = own.pivot_table(index="participant", columns="method", values="answer", aggfunc="mean")
    return _tensor(means.reindex(columns=list(study.methods)))


def answer_matrix(ratings: pd.DataFrame, question: str) -> Float[Tensor, "p u"]:
    """From a `rating_table`, each participant's answer to a question for each picture that anyone rated, in the order of the names of
    method and category and of the picture's number; NaN where there is none.

    Raises InputError for a question that no rating answers.
    """
    answers = _of_question(ratings, question).pivot(
        index="participant", columns=["method", "category", "picture"], values="answer"
    )
    return _tensor(answers.sort_index(axis=1))


def win_counts(comparisons: pd.DataFrame, study: Study) -> Float[Tensor, "p m m"]:
    """From a `comparison_table`, how often each participant preferred method i to j, as element (i, j); a tie counts half for both."""
    number = {method: i for i, method in enumerate(study.methods)}
    people = {code: i for i, code in enumerate(comparisons["participant"].unique())}
    wins = torch.zeros(len(people), len(number), len(number), dtype=torch.float64)
    for code, left, right, share in comparisons[
        ["participant", "left", "right", "share"]
    ].itertuples(index=False):
        wins[people[code], number[left], number[right]] += share
        wins[people[code], number[right], number[left]] += 1 - share
    return wins


def _pages(votes: Sequence[Vote], study: Study) -> Mapping[str, Trial]:
    pages = trials(study)
    for vote in votes:
        if vote.trial not in pages or vote.question not in [
            question.name for question in pages[vote.trial].questions
        ]:
            raise InputError(
                f"votes hold question {vote.question!r} of trial {vote.trial!r}; expected those of study {study.name!r}"
            )
    return pages


def _tensor(table: pd.DataFrame) -> Float[Tensor, "p k"]:
    return torch.tensor(
        table.to_numpy(dtype=float).copy()
    )  # a copy, because torch reads no table whose columns were reversed


def _of_question(ratings: pd.DataFrame, question: str) -> pd.DataFrame:
    own = ratings.loc[ratings["question"] == question]
    if own.empty:
        raise InputError(
            f"question is {question!r}; expected those that were rated: {sorted(ratings['question'].unique())}"
        )
    return own

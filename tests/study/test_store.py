"""Stored votes are complete and single after concurrent writes and killed processes.

Files of other kinds and studies are refused.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from creativelib.errors import InputError
from creativelib.study.design import Study, plan
from creativelib.study.store import Vote, Votes, ballot, new_code, now, read_csv, seed_of
from unhooked import make

STUDY = Study("class", ("steered", "prompted"), ("pet",), pictures=4, pairs=2, checks=2)
TIME = "2025-01-31T12:00:00+00:00"
ANNA = "0badcafe"
BERT = "00000001"

# Beginning of the scripts of the processes below. They import only the store, which is quick.
SCRIPT = f"""
import os, signal, sqlite3, sys
from pathlib import Path
from creativelib.study.design import Study, plan
from creativelib.study.store import Votes, ballot, seed_of
study = {STUDY!r}
file, participant, answer = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def go():
    votes = Votes(file, study)
    for trial in plan(study, seed_of(participant)):
        answers = {{question.name: answer for question in trial.questions}}
        votes.add(ballot(participant, trial, answers, {TIME!r}))
        print(trial.id, flush=True)
"""
# Killed by itself at the second row that it inserts of its second trial.
KILLED = (
    SCRIPT
    + """
whole, seen = sqlite3.connect, []
def traced(*args, **named):
    db = whole(*args, **named)
    def at(statement):
        seen.extend([statement] * statement.startswith("INSERT INTO votes"))
        if len(seen) == at_row:
            os.kill(os.getpid(), signal.SIGKILL)
    db.set_trace_callback(at)
    return db
sqlite3.connect = traced
trials = plan(study, seed_of(participant))
before = next(n for n, trial in enumerate(trials) if n and len(trial.questions) > 1)
at_row = sum(len(trial.questions) for trial in trials[:before]) + 2
go()
"""
)


def start(script: str, *args: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)], stdout=subprocess.PIPE, text=True
    )


def answers(trial, answer: int = 1) -> dict[str, int]:
    return {question.name: answer for question in trial.questions}


def full(participant: str, answer: int = 1) -> list[Vote]:
    """Give the same answer to every question of a participant's plan."""
    return [
        vote
        for trial in plan(STUDY, seed_of(participant))
        for vote in ballot(participant, trial, answers(trial, answer), TIME)
    ]


def assert_complete(votes: list[Vote]) -> None:
    questions = Counter((vote.participant, vote.trial) for vote in votes)
    for (participant, id), count in questions.items():
        assert count == next(
            len(trial.questions) for trial in plan(STUDY, seed_of(participant)) if trial.id == id
        )


def test_what_was_stored_is_read_back(tmp_path):
    store = Votes(tmp_path / "votes.db", STUDY)
    assert store.read() == [] and store.answered(ANNA) == frozenset()
    store.add(full(ANNA))
    again = Votes(tmp_path / "votes.db", STUDY)
    assert again.read() == full(ANNA)
    assert again.answered(ANNA) == {vote.trial for vote in full(ANNA)}
    assert again.answered(BERT) == frozenset()


def test_the_first_vote_counts(tmp_path):
    store = Votes(tmp_path / "votes.db", STUDY)
    questions = plan(STUDY, seed_of(ANNA))[0].questions
    store.add(full(ANNA, 1)[: len(questions)])
    first = store.read()
    store.add(full(ANNA, 2))
    assert store.read() == first + full(ANNA, 2)[len(first) :]


def test_processes_at_once_lose_and_double_nothing(tmp_path):
    """Three processes create the same file at the same moment.

    Two of them are the same participant in two notebooks, with different answers.
    """
    writers = [
        start(SCRIPT + "go()", tmp_path / "votes.db", participant, answer)
        for participant, answer in ((ANNA, 1), (ANNA, 2), (BERT, 3))
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    votes = Votes(tmp_path / "votes.db", STUDY).read()
    assert sorted((vote.participant, vote.trial, vote.question) for vote in votes) == sorted(
        (vote.participant, vote.trial, vote.question) for vote in full(ANNA) + full(BERT)
    )
    assert all(
        len({vote.answer for vote in votes if (vote.participant, vote.trial) == key}) == 1
        for key in {(vote.participant, vote.trial) for vote in votes}
    ), "answers of two notebooks in one trial"


def test_a_process_killed_between_two_rows_leaves_complete_trials(tmp_path):
    writer = start(KILLED, tmp_path / "votes.db", ANNA, 1)
    reported = writer.communicate(timeout=60)[0].split()
    assert writer.returncode == -signal.SIGKILL
    store = Votes(tmp_path / "votes.db", STUDY)
    assert_complete(store.read())
    assert store.answered(ANNA) == set(reported) and reported
    store.add(full(ANNA))
    assert len(store.read()) == len(full(ANNA))


def test_a_process_killed_at_any_time_keeps_the_trials_that_it_reported(tmp_path):
    writer = start(SCRIPT + "go()", tmp_path / "votes.db", BERT, 1)
    assert writer.stdout
    reported = [writer.stdout.readline().strip() for _ in range(3)]
    os.kill(writer.pid, signal.SIGKILL)
    reported += writer.communicate(timeout=60)[0].split()
    store = Votes(tmp_path / "votes.db", STUDY)
    assert_complete(store.read())
    assert set(reported) <= store.answered(BERT)


def test_a_failed_write_leaves_nothing_and_can_be_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("creativelib.study.store._BUSY_TIMEOUT", 0.01)
    store = Votes(tmp_path / "votes.db", STUDY)
    other = sqlite3.connect(tmp_path / "votes.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        store.add(full(ANNA))
    other.close()
    assert store.read() == []
    store.add(full(ANNA))
    assert store.read() == full(ANNA)


def test_export_and_read_csv(tmp_path):
    store = Votes(tmp_path / "votes.db", STUDY)
    store.add(full(ANNA) + full(BERT, 3))
    store.export(tmp_path / "votes.csv")
    assert read_csv(tmp_path / "votes.csv") == store.read()
    other = Votes(tmp_path / "other.db", STUDY)
    other.add(read_csv(tmp_path / "votes.csv"))
    assert other.read() == store.read()
    assert {file.name for file in tmp_path.iterdir()} == {"votes.db", "other.db", "votes.csv"}


def test_neither_file_names_a_method(tmp_path):
    store = Votes(tmp_path / "votes.db", STUDY)
    store.add(full(ANNA))
    store.export(tmp_path / "votes.csv")
    for file in tmp_path.iterdir():
        assert not any(method.encode() in file.read_bytes() for method in STUDY.methods)


def test_times_are_utc_and_codes_random():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())
    codes = {new_code() for _ in range(100)}
    assert len(codes) == 100 and len({seed_of(code) for code in codes}) == 100


def write(file: Path, how: str) -> None:
    if how == "text":
        file.write_text("participant,trial\n" * 100)
    elif how == "database":
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE people (name)")
    elif how == "tables of the same names":
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE study (title)")
            db.execute("CREATE TABLE votes (title)")
    elif how == "folder":
        file.mkdir()
    else:
        Votes(file, replace(STUDY, name="last year's"))


@pytest.mark.parametrize(
    "how, message",
    [
        ("text", "cannot be opened as a study (file is not a database)"),
        ("database", "is a database but not a study; expected a new file or that of study 'class'"),
        ("tables of the same names", "cannot be opened as a study (no such column: name)"),
        ("folder", "cannot be opened as a study (unable to open database file)"),
        ("another study", 'holds votes of study "last year\'s"'),
    ],
)
def test_a_file_that_is_not_this_studys_is_refused_and_left_alone(tmp_path, how: str, message: str):
    file = tmp_path / "votes.db"
    write(file, how)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(InputError, match=re.escape(message)):
        Votes(file, STUDY)
    assert before is None or file.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="in a folder that does not exist"):
        Votes(tmp_path / "none" / "votes.db", STUDY)


def test_a_file_can_be_a_text(tmp_path):
    assert make(Votes, file=str(tmp_path / "votes.db"), study=STUDY).file == tmp_path / "votes.db"


def test_a_store_that_vanished_is_not_made_anew(tmp_path):
    store = Votes(tmp_path / "votes.db", STUDY)
    (tmp_path / "votes.db").unlink()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        store.add(full(ANNA))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"participant": "Anna"}, "participant is 'Anna'; expected a code of 8 hexadecimal digits"),
        ({"trial": "t9999"}, "trial is 't9999'; expected those of study 'class'"),
        (
            {"answer": 0},
            "is 0; expected 1 to 5 to 'imaginative', 1 to 5 to 'plausible', 1 to 5 to 'category'",
        ),
        ({"answer": 6}, "is 6; expected"),
        ({"question": "prefer"}, "answer to 'prefer' of trial"),
        ({"time": "2025-01-31T12:00:00"}, "time is '2025-01-31T12:00:00'; expected a time in UTC"),
        ({"time": "2025-01-31T12:00:00+01:00"}, "expected a time in UTC"),
        ({"time": "noon"}, "time is 'noon'"),
        (
            {"question": "plausible"},
            "expected one answer to each of ['imaginative', 'plausible', 'category']",
        ),
    ],
)
def test_wrong_votes_are_named_and_not_kept(tmp_path, changes: dict, message: str):
    store = Votes(tmp_path / "votes.db", STUDY)
    trial = next(trial for trial in plan(STUDY, seed_of(ANNA)) if len(trial.items) == 1)
    right = ballot(ANNA, trial, answers(trial), TIME)
    with pytest.raises(InputError, match=re.escape(message)):
        store.add([replace(right[0], **changes), *right[1:]])
    with pytest.raises(InputError, match="expected one answer to each"):
        store.add(right[:2])
    assert store.read() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "participant,trial,question,answer,time\n0badcafe,t0000,prefer,left,x\n",
        "participant,trial,question,answer,time\n0badcafe,t0000\n",
    ],
)
def test_another_csv_file_is_refused(tmp_path, text: str):
    (tmp_path / "votes.csv").write_text(text)
    for file in (tmp_path / "votes.csv", tmp_path / "none.csv"):
        with pytest.raises(InputError, match=f"{file.name}' cannot be read as votes"):
            read_csv(file)

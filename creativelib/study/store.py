"""Votes in one SQLite file that several notebooks may write at once.

No personal data is stored. A participant is a random code that only they know to be theirs; a row holds that code, the trial, the question,
the answer and the time, and no name, address or IP. Codes of simulated raters begin with "simulated-".
"""

import csv
import re
import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..errors import InputError
from ..files import atomic_write
from .design import Study, Trial, fingerprint, trials

SIMULATED = "simulated-"
_CODE = re.compile(rf"({SIMULATED})?[0-9a-f]{{8}}")
_BUSY = 30.0  # seconds to wait for another writer, who needs milliseconds


@dataclass(frozen=True)
class Vote:
    """One answer. `answer` is the number of the option chosen, from 1; `time` is in UTC, as in 2025-01-31T12:00:00+00:00."""

    participant: str
    trial: str
    question: str
    answer: int
    time: str


def new_code() -> str:
    """A random participant code of eight hexadecimal digits."""
    return secrets.token_hex(4)


def seed_of(participant: str) -> int:
    """The seed of a participant's plan. Raises InputError for what is no code, such as a name."""
    if not _CODE.fullmatch(participant):
        raise InputError(
            f"participant is {participant!r}; expected a code of 8 hexadecimal digits, such as {'0badcafe'!r}, and no name"
        )
    return int(participant[-8:], 16)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def ballot(participant: str, trial: Trial, answers: Mapping[str, int], time: str) -> list[Vote]:
    """The votes of one trial, from its answers by question name."""
    return [
        Vote(participant, trial.id, question, answer, time) for question, answer in answers.items()
    ]


@dataclass(frozen=True)
class Votes:
    """The votes of one study in one file, which is made if it is not there.

    The first vote counts: what a participant answers to a trial a second time is ignored. SQLite's rollback journal keeps a write whole
    when the process is killed, leaves a single file at rest, and, unlike its write-ahead log, does not need all writers on one machine:
    a network drive that locks files will do. Raises InputError for a file that is no study, is of another study, or cannot be opened.
    """

    file: Path
    study: Study

    def __post_init__(self) -> None:
        name = f"file {str(self.file)!r}"
        if not self.file.parent.is_dir():
            raise InputError(
                f"{name} is in a folder that does not exist; expected a file in one that does"
            )
        try:
            with self._transaction("rwc") as db:
                tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
                if not tables:
                    self._make(db)
                elif not {"study", "votes"} <= tables:
                    raise InputError(
                        f"{name} is a database but no study; expected a new file or that of study {self.study.name!r}"
                    )
                found, digest = db.execute("SELECT name, fingerprint FROM study").fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{name} cannot be opened as a study ({error}); expected a new file or a study's"
            ) from error
        if digest != fingerprint(self.study):
            raise InputError(
                f"{name} holds votes of study {found!r}, whose design or name is another than that of {self.study.name!r}; "
                f"expected a new file or that of the same study"
            )

    def add(self, votes: Sequence[Vote]) -> None:
        """Store complete trials in one transaction: all of the votes or, after a crash, none. Returns when they are on disk.

        Raises InputError for votes that do not belong to the study, and for a trial that is not complete; sqlite3.OperationalError if the
        file cannot be written, for instance because another process keeps it locked for 30 seconds.
        """
        self._check(votes)
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?) ON CONFLICT (participant, trial, question) DO NOTHING",
                map(astuple, votes),
            )

    def read(self) -> list[Vote]:
        """All votes, in the order in which they were stored."""
        with self._transaction() as db:
            return [Vote(*row) for row in db.execute("SELECT * FROM votes ORDER BY rowid")]

    def answered(self, participant: str) -> frozenset[str]:
        """The identifiers of the trials that a participant has answered."""
        with self._transaction() as db:
            return frozenset(
                row[0]
                for row in db.execute(
                    "SELECT trial FROM votes WHERE participant = ?", (participant,)
                )
            )

    def export(self, file: Path) -> None:
        """Write all votes as CSV with a header. They are blind: which trial shows which method is in the study's design alone."""
        votes = self.read()
        with atomic_write(file) as part, part.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([_COLUMNS, *map(astuple, votes)])

    @contextmanager
    def _transaction(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """A connection of its own for each transaction, which closing rolls back unless all went well."""
        uri = f"{self.file.resolve().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY, isolation_level=None)) as db:
            db.execute(
                "BEGIN IMMEDIATE"
            )  # waits for its turn here, and so never has to give up half-way
            yield db
            db.execute("COMMIT")

    def _make(self, db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE study (name TEXT NOT NULL, fingerprint TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE votes (participant TEXT NOT NULL, trial TEXT NOT NULL, question TEXT NOT NULL, answer INTEGER NOT NULL, "
            "time TEXT NOT NULL, UNIQUE (participant, trial, question))"
        )
        db.execute("INSERT INTO study VALUES (?, ?)", (self.study.name, fingerprint(self.study)))

    def _check(self, votes: Sequence[Vote]) -> None:
        pages = trials(self.study)
        given = defaultdict[tuple[str, str], list[str]](list)
        for vote in votes:
            seed_of(vote.participant)
            if vote.trial not in pages:
                raise InputError(
                    f"trial is {vote.trial!r}; expected those of study {self.study.name!r}"
                )
            options = {
                question.name: len(question.options) for question in pages[vote.trial].questions
            }
            if not 1 <= vote.answer <= options.get(vote.question, 0):
                raise InputError(
                    f"answer to {vote.question!r} of trial {vote.trial!r} is {vote.answer}; expected "
                    + ", ".join(f"1 to {count} to {name!r}" for name, count in options.items())
                )
            if not _is_utc(vote.time):
                raise InputError(
                    f"time is {vote.time!r}; expected a time in UTC, such as '2025-01-31T12:00:00+00:00'"
                )
            given[vote.participant, vote.trial].append(vote.question)
        for (participant, trial), names in given.items():
            wanted = [question.name for question in pages[trial].questions]
            if sorted(names) != sorted(wanted):
                raise InputError(
                    f"votes of participant {participant} on trial {trial!r} answer {names}; expected one answer to each of "
                    f"{wanted}"
                )


_COLUMNS = tuple(field.name for field in fields(Vote))


def read_csv(file: Path) -> list[Vote]:
    """Read what `Votes.export` wrote, for instance to put several computers' votes into one store. Raises InputError for another file."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            header, *rows = csv.reader(lines)
            if tuple(header) != _COLUMNS:
                raise ValueError(f"its header is {header}")
            return [
                Vote(participant, trial, question, int(answer), time)
                for participant, trial, question, answer, time in rows
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"file {str(file)!r} cannot be read as votes ({error}); expected a CSV file with columns {_COLUMNS}"
        ) from error


def _is_utc(time: str) -> bool:
    try:
        return datetime.fromisoformat(time).utcoffset() == timedelta(0)
    except ValueError:
        return False

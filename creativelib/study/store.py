"""Votes in one SQLite file that several notebooks may write at once.

No personal data is stored. Each participant is a random code, and only the participant knows whose
it is. A row holds that code, the trial, the question, the answer and the time, and no name, address
or IP. Codes of simulated raters begin with "simulated-".
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

from ..errors import InputError, shown
from ..files import atomic_write
from .design import Study, Trial, fingerprint, trials

# Prefix of the codes of simulated raters.
SIMULATED = "simulated-"
_CODE = re.compile(rf"({SIMULATED})?[0-9a-f]{{8}}")
# Seconds to wait for another writer, which needs milliseconds.
_BUSY_TIMEOUT = 30.0


@dataclass(frozen=True)
class Vote:
    """One answer of a participant."""

    # Code of the participant.
    participant: str
    # Identifier of the trial.
    trial: str
    # Name of the question.
    question: str
    # Number of the chosen option, counted from 1.
    answer: int
    # Time in UTC, such as 2025-01-31T12:00:00+00:00.
    time: str


def new_code() -> str:
    """Draw a random participant code of eight hexadecimal digits."""
    return secrets.token_hex(4)


def seed_of(participant: str) -> int:
    """Return the seed of a participant's plan.

    Raises InputError if `participant` is not a code, such as a name.
    """
    if not isinstance(participant, str) or not _CODE.fullmatch(participant):
        raise InputError(
            f"participant is {shown(participant)}; expected a code of 8 hexadecimal digits, such "
            f"as '0badcafe', and not a name"
        )
    return int(participant[-8:], 16)


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def ballot(participant: str, trial: Trial, answers: Mapping[str, int], time: str) -> list[Vote]:
    """Make the votes of one trial from its answers by question name."""
    return [
        Vote(
            participant=participant,
            trial=trial.id,
            question=question,
            answer=answer,
            time=time,
        )
        for question, answer in answers.items()
    ]


@dataclass(frozen=True)
class Votes:
    """The votes of one study in one file, which is created if it does not exist.

    The first vote counts: a second answer of a participant to the same trial is ignored. SQLite's
    rollback journal keeps a write complete when the process is killed and leaves a single file at
    rest. Unlike the write-ahead log, it does not need all writers on one machine: a network drive
    that locks files is enough.

    Raises InputError for a file that does not hold a study, holds another study, or cannot be
    opened.
    """

    file: Path
    study: Study

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", Path(self.file))
        name = f"file {str(self.file)!r}"
        if not self.file.parent.is_dir():
            raise InputError(
                f"{name} is in a folder that does not exist; expected a file in one that does"
            )
        try:
            with self._transaction("rwc") as db:
                tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
                if not tables:
                    self._create(db)
                elif not {"study", "votes"} <= tables:
                    raise InputError(
                        f"{name} is a database but not a study; expected a new file or that of "
                        f"study {self.study.name!r}"
                    )
                found, digest = db.execute("SELECT name, fingerprint FROM study").fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{name} cannot be opened as a study ({error}); expected a new file or a study's"
            ) from error
        if digest != fingerprint(self.study):
            raise InputError(
                f"{name} holds votes of study {found!r}, whose design or name differs from that of "
                f"{self.study.name!r}; expected a new file or that of the same study"
            )

    def add(self, votes: Sequence[Vote]) -> None:
        """Store complete trials in one transaction: all of the votes or, after a crash, none.

        Returns when they are on disk. Raises InputError for votes that do not belong to the study
        and for a trial that is not complete. Raises sqlite3.OperationalError if the file cannot be
        written, for instance because another process keeps it locked for 30 seconds.
        """
        self._check(votes)
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (participant, trial, question) DO NOTHING",
                map(astuple, votes),
            )

    def read(self) -> list[Vote]:
        """Return all votes, in the order in which they were stored."""
        with self._transaction() as db:
            return [Vote(*row) for row in db.execute("SELECT * FROM votes ORDER BY rowid")]

    def answered(self, participant: str) -> frozenset[str]:
        """Return the identifiers of the trials that a participant has answered."""
        with self._transaction() as db:
            rows = db.execute("SELECT trial FROM votes WHERE participant = ?", (participant,))
            return frozenset(row[0] for row in rows)

    def export(self, file: Path) -> None:
        """Write all votes as CSV with a header.

        They are blind: only the study's design says which trial shows which method.
        """
        votes = self.read()
        with atomic_write(file) as part, part.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([_COLUMNS, *map(astuple, votes)])

    @contextmanager
    def _transaction(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction; an exception rolls the transaction back."""
        uri = f"{self.file.resolve().as_uri()}?mode={mode}"
        with closing(
            sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)
        ) as db:
            # Wait for other writers here, so that the transaction never has to give up half-way.
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def _create(self, db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE study (name TEXT NOT NULL, fingerprint TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE votes (participant TEXT NOT NULL, trial TEXT NOT NULL, "
            "question TEXT NOT NULL, answer INTEGER NOT NULL, time TEXT NOT NULL, "
            "UNIQUE (participant, trial, question))"
        )
        db.execute("INSERT INTO study VALUES (?, ?)", (self.study.name, fingerprint(self.study)))

    def _check(self, votes: Sequence[Vote]) -> None:
        """Raise InputError for votes of another study and for incomplete trials."""
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
            if vote.answer not in range(1, options.get(vote.question, 0) + 1):
                ranges = [f"1 to {count} to {name!r}" for name, count in options.items()]
                raise InputError(
                    f"answer to {vote.question!r} of trial {vote.trial!r} is {vote.answer}; "
                    f"expected {', '.join(ranges)}"
                )
            if not _is_utc(vote.time):
                raise InputError(
                    f"time is {vote.time!r}; expected a time in UTC, such as "
                    f"'2025-01-31T12:00:00+00:00'"
                )
            given[vote.participant, vote.trial].append(vote.question)
        for (participant, trial), names in given.items():
            wanted = [question.name for question in pages[trial].questions]
            if sorted(names) != sorted(wanted):
                raise InputError(
                    f"votes of participant {participant} on trial {trial!r} answer {names}; "
                    f"expected one answer to each of {wanted}"
                )


_COLUMNS = tuple(field.name for field in fields(Vote))


def read_csv(file: Path) -> list[Vote]:
    """Read votes that `Votes.export` wrote, for instance to merge those of several computers.

    Raises InputError for any other file.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            header, *rows = csv.reader(lines)
            if tuple(header) != _COLUMNS:
                raise ValueError(f"its header is {header}")
            return [
                Vote(
                    participant=participant,
                    trial=trial,
                    question=question,
                    answer=int(answer),
                    time=time,
                )
                for participant, trial, question, answer, time in rows
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"file {str(file)!r} cannot be read as votes ({error}); "
            f"expected a CSV file with columns {_COLUMNS}"
        ) from error


def _is_utc(time: str) -> bool:
    try:
        return datetime.fromisoformat(time).utcoffset() == timedelta(0)
    except ValueError:
        return False

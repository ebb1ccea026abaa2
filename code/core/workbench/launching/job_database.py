"""A job as the queue's database keeps it, and how that file is opened."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.machine.processes import Process

_WAIT_SECONDS = 30.0
_TABLE = """CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  request TEXT UNIQUE NOT NULL,
  folder TEXT NOT NULL,
  cwd TEXT NOT NULL,
  label TEXT NOT NULL,
  words TEXT NOT NULL,
  wants TEXT NOT NULL CHECK (wants IN ('cpu', 'gpu')),
  num_devices INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'ended')),
  devices TEXT NOT NULL DEFAULT '[]',
  submitted_at REAL NOT NULL,
  started_at REAL,
  ended_at REAL,
  claim TEXT,
  runner_pid INTEGER,
  runner_began INTEGER,
  pid INTEGER,
  began INTEGER,
  boot TEXT,
  stop_asked_at REAL,
  signals INTEGER NOT NULL DEFAULT 0,
  experiment TEXT,
  status TEXT,
  message TEXT
) STRICT"""


@dataclass(frozen=True)
class Job:
    """A training in the queue: `words` follow `train.py`, run in `cwd`.

    `folder` is that of all experiments, and `experiment` the name of its own in it.

    `status` is that of its experiment once it has ended.
    """

    number: int
    folder: str
    cwd: str
    label: str
    words: list[str]
    wants: str
    num_devices: int
    state: str
    devices: list[str]
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    claim: str | None
    runner_pid: int | None
    runner_began: int | None
    pid: int | None
    began: int | None
    boot: str | None
    stop_asked_at: float | None
    signals: int
    experiment: str | None
    status: str | None
    message: str | None

    @property
    def process(self) -> Process | None:
        """The training itself; None until it has told who it is."""
        return None if self.pid is None else Process(self.pid, self.began)

    @property
    def runner(self) -> Process:
        """The server that took it from the queue."""
        return Process(self.runner_pid, self.runner_began)


COLUMNS = ", ".join(each.name for each in fields(Job))


def as_job(row: Sequence[Any]) -> Job:
    """The job in a row of `COLUMNS`."""
    values = dict(zip((each.name for each in fields(Job)), row, strict=True))
    decoded = {name: json.loads(values[name]) for name in ("words", "devices")}
    return Job(**(values | decoded))


@contextmanager
def writing(database: Path) -> Iterator[sqlite3.Connection]:
    """A transaction that writes: begun as one, or it may fail where it first writes."""
    try:
        database.parent.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{database.parent}: cannot be made ({error.strerror}): set XDG_STATE_HOME to a folder "
            "that can be written to"
        ) from None
    with connected(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


@contextmanager
def connected(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one operation. Raises InputError where the file cannot be used."""
    try:
        opened = sqlite3.connect(database, _WAIT_SECONDS, isolation_level=None)
        with closing(opened) as connection:
            # Where the file system has no WAL, SQLite keeps to what it has; another process may be
            # switching to it just now.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
            yield connection
    except sqlite3.OperationalError as error:
        raise InputError(
            f"{database}: cannot be used ({error}): make room, or let its user write to it, or set "
            "XDG_STATE_HOME to another folder"
        ) from None
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{database}: damaged ({error}): move it away to begin a new queue"
        ) from None

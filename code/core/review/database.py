"""The file of a store of decisions: one SQLite database, opened for each operation.

It has no side files while nobody writes, so that it can be copied, and read from a folder that
cannot be written to. A transaction is on the disk before it is acknowledged.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from core.errors import InputError

_APPLICATION_ID, _VERSION = 0x5EDEC151, 1
_WAIT_SECONDS = 30.0

_STATEMENTS = (
    """CREATE TABLE decisions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  call INTEGER NOT NULL,
  at TEXT NOT NULL,
  reviewer TEXT NOT NULL,
  image_id TEXT NOT NULL,
  class_name TEXT NOT NULL,
  given INTEGER NOT NULL CHECK (given IN (0, 1)),
  decided TEXT NOT NULL CHECK (decided IN ('keep', 'set', 'clear', 'unsure', 'undo')),
  reason TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  model TEXT NOT NULL,
  probability REAL,
  seconds REAL,
  blind INTEGER NOT NULL CHECK (blind IN (0, 1)),
  sample TEXT NOT NULL CHECK (sample IN ('ranked', 'random')),
  request TEXT UNIQUE,
  undoes INTEGER UNIQUE REFERENCES decisions (number)
) STRICT""",
    "CREATE INDEX decisions_of_reviewers ON decisions (reviewer, number)",
    """CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END""",
    """CREATE TRIGGER decisions_remain BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are never removed'); END""",
    """CREATE TABLE leases (
  image_id TEXT PRIMARY KEY,
  reviewer TEXT NOT NULL,
  ends REAL NOT NULL
) STRICT""",
)


def prepare(path: Path, create: bool) -> None:
    """Check the whole file, or make it where there is none and `create` is set.

    Raises:
        InputError: no store, a damaged one, one of a later version, or another file.
    """
    if not create and not path.is_file():
        raise InputError(f"{path}: no such store of decisions; expected the file of a review")
    with connected(path, "write" if create else "read") as connection:
        connection.execute("BEGIN IMMEDIATE" if create else "BEGIN")
        if create and _is_empty(connection):
            for statement in _STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        _check(connection, path)
        connection.execute("COMMIT")


@contextmanager
def connected(path: Path, purpose: str = "read") -> Iterator[sqlite3.Connection]:
    """A connection of its own for one operation, without a transaction begun.

    `purpose` is `read` or `write`. Raises InputError where the file cannot be used.
    """
    mode = "ro" if purpose == "read" else "rwc"
    try:
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, _WAIT_SECONDS, isolation_level=None, uri=True)
        with closing(connection):
            connection.row_factory = sqlite3.Row
            # Of a file that somebody sent, no code is run and no broken page is believed.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA synchronous = EXTRA")
            yield connection
    except sqlite3.IntegrityError:
        raise
    except sqlite3.OperationalError as error:
        raise InputError(
            f"{path}: cannot be used as a store of decisions ({error}): wait until no other "
            "process writes it, or give a folder that exists and can be written to"
        ) from None
    except (sqlite3.DatabaseError, UnicodeError) as error:
        raise InputError(_damaged(path, str(error))) from None


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise InputError(f"{path}: not a store of decisions: give the file of a review")
    if (version := connection.execute("PRAGMA user_version").fetchone()[0]) != _VERSION:
        raise InputError(
            f"{path}: a store of version {version}; this version of the project reads {_VERSION}"
        )
    found = {row[0] for row in connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )}  # fmt: skip
    if found != set(_STATEMENTS):
        raise InputError(_damaged(path, "other tables than those of a store"))
    (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if state != "ok":
        raise InputError(_damaged(path, state))


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: damaged ({' '.join(reason.split())[:200]}): restore a copy of it"

"""The file of a store of decisions: one SQLite database, opened for each operation.

It has no side files while nobody writes, so that it can be copied, and read from a folder that
cannot be written to. A transaction is on the disk before it is acknowledged.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from core.errors import InputError, UnavailableError

_APPLICATION_ID, _VERSION, _WITHOUT_REVIEWED = 0x5EDEC151, 2, 1
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
# How many valid decisions each reviewer has on each strip. It is what the log says, kept by the
# database in the transaction that writes to the log: reading the whole log for each lease is slow.
_REVIEWED = (
    """CREATE TABLE reviewed (
  image_id TEXT NOT NULL,
  reviewer TEXT NOT NULL,
  decisions INTEGER NOT NULL,
  PRIMARY KEY (image_id, reviewer)
) STRICT, WITHOUT ROWID""",
    """CREATE TRIGGER reviewed_more AFTER INSERT ON decisions WHEN new.decided != 'undo'
BEGIN INSERT INTO reviewed VALUES (new.image_id, new.reviewer, 1)
  ON CONFLICT DO UPDATE SET decisions = decisions + 1; END""",
    """CREATE TRIGGER reviewed_less AFTER INSERT ON decisions WHEN new.decided = 'undo'
BEGIN UPDATE reviewed SET decisions = decisions - 1
  WHERE image_id = new.image_id AND reviewer = new.reviewer;
  DELETE FROM reviewed
  WHERE image_id = new.image_id AND reviewer = new.reviewer AND decisions = 0; END""",
)
VALID = (
    "decided != 'undo' AND NOT EXISTS "
    "(SELECT 1 FROM decisions undone WHERE undone.undoes = decisions.number)"
)
"""The condition for decisions that were not taken back."""
_OF_LOG = f"""SELECT image_id, reviewer, count(*) FROM decisions WHERE {VALID}
GROUP BY image_id, reviewer ORDER BY image_id, reviewer"""


def prepare(path: Path, create: bool) -> None:
    """Check the whole file, or make it where there is none and `create` is set.

    Raises:
        InputError: no store, a damaged one, one of a later version, or another file.
    """
    if not create and not path.is_file():
        raise InputError(f"{path}: no such store of decisions; expected the file of a review")
    with connected(path, "create" if create else "read") as connection:
        connection.execute("BEGIN IMMEDIATE" if create else "BEGIN")
        if create and _is_empty(connection):
            for statement in _STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_WITHOUT_REVIEWED}")
        _check(connection, path)
        if create:
            _upgrade(connection)
        connection.execute("COMMIT")


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction that is on the disk at its end, or undone by an error."""
    with connected(path, "write") as connection:
        connection.execute("BEGIN IMMEDIATE")
        _upgrade(connection)
        yield connection
        connection.execute("COMMIT")


@contextmanager
def connected(path: Path, purpose: str = "read") -> Iterator[sqlite3.Connection]:
    """A connection of its own for one operation, without a transaction begun.

    `purpose` is `read`, `write`, or `create`.

    Raises:
        UnavailableError: the file cannot be used now, as one that another process writes.
        InputError: a damaged one.
    """
    mode = {"read": "ro", "write": "rw", "create": "rwc"}[purpose]
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
        raise UnavailableError(
            f"{path}: cannot be used as a store of decisions ({error}): wait until no other "
            "process writes it, or give a folder that exists and can be written to"
        ) from None
    except (sqlite3.DatabaseError, UnicodeError) as error:
        raise InputError(_damaged(path, str(error))) from None


def _upgrade(connection: sqlite3.Connection) -> None:
    """Give a store of the version before the table that it lacks."""
    if _version(connection) == _WITHOUT_REVIEWED:
        for statement in _REVIEWED:
            connection.execute(statement)
        connection.execute(f"INSERT INTO reviewed {_OF_LOG}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise InputError(f"{path}: not a store of decisions: give the file of a review")
    if (version := _version(connection)) not in (_WITHOUT_REVIEWED, _VERSION):
        raise InputError(
            f"{path}: a store of version {version}; this version of the project reads {_VERSION}"
        )
    found = {row[0] for row in connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )}  # fmt: skip
    if found != {*_STATEMENTS, *(_REVIEWED if version == _VERSION else ())}:
        raise InputError(_damaged(path, "other tables than those of a store"))
    (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if state != "ok":
        raise InputError(_damaged(path, state))
    reviewed = "SELECT image_id, reviewer, decisions FROM reviewed ORDER BY image_id, reviewer"
    if version == _VERSION and _rows(connection, reviewed) != _rows(connection, _OF_LOG):
        raise InputError(_damaged(path, "its table of reviewed strips is not that of its log"))


def _rows(connection: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    return list(map(tuple, connection.execute(query)))


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: damaged ({' '.join(reason.split())[:200]}): restore a copy of it"

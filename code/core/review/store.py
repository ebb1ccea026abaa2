"""The store of decisions: an append-only log that several reviewers write at once."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from core.errors import InputError
from core.review.database import VALID, connected, prepare, writing
from core.review.decisions import Decision, Entry
from core.validation import validate

_OF_DECISION = tuple(Decision.model_fields)
# Whether a decision was blind is for the store to say, so that it is no part of what is sent.
_SENT = set(_OF_DECISION) - {"blind"}


class ReviewStore:
    """The decisions about one data set. Methods may be called from any thread or process.

    What a method returned is on the disk, also if the process is killed right after. The store
    belongs to the data set, by its fingerprint, of the first decision.

    Raises:
        InputError: no file at `path` without `create`, a damaged one, or another kind of file.
    """

    def __init__(self, path: Path | str, create: bool = False) -> None:
        self.path = Path(path)
        prepare(self.path, create)

    def append(self, decisions: Sequence[Decision], request: str = "") -> list[int]:
        """Write decisions, all or none, and return their numbers.

        With a `request`, a name that the sender gives to this call, sending it twice writes it
        once, and returns the same numbers. A decision is not blind, whatever it says, where the
        reviewer has decided on the strip before: its labels were shown after that.

        Raises:
            InputError: decisions about another data set, or another call of this name.
        """
        with writing(self.path) as connection:
            if request and (known := self._sent(connection, decisions, request)):
                return known
            self._check_data(connection, decisions)
            seen = [_has_decided(connection, each.reviewer, each.image_id) for each in decisions]
            numbers = _insert(connection, [
                {
                    **decision.model_dump(),
                    "blind": decision.blind and not seen[number],
                    "request": f"{number} {request}" if request else None,
                }
                for number, decision in enumerate(decisions)
            ])  # fmt: skip
            # A second reviewer of the strip need not wait until the lease has ended.
            connection.executemany(
                "DELETE FROM leases WHERE reviewer = ? AND image_id = ?",
                {(decision.reviewer, decision.image_id) for decision in decisions},
            )
        return numbers

    def last(self, reviewer: str) -> list[Entry]:
        """What a reviewer decided in the last call of `append` that was not taken back."""
        with connected(self.path) as connection:
            return self._last(connection, reviewer)

    def undo(self, reviewer: str, expected: int | None = None) -> list[Entry]:
        """Take back what a reviewer decided in the last call of `append`, and return it.

        Each decision is taken back by a further entry. Undone again, the call before is taken
        back; nothing is returned where there is none. With `expected`, the number of its first
        entry, no other call is taken back: then undo can be sent twice.
        """
        with writing(self.path) as connection:
            undone = self._last(connection, reviewer)
            if expected is not None and undone and undone[0].number != expected:
                return []
            of_undo = {"decided": "undo", "reason": "", "seconds": None}
            _insert(connection, [
                {**entry.model_dump(include=set(_OF_DECISION)), **of_undo, "undoes": entry.number}
                for entry in undone
            ])  # fmt: skip
        return undone

    def entries(self) -> list[Entry]:
        """All decisions that were not taken back, in their order."""
        with connected(self.path) as connection:
            rows = connection.execute(f"SELECT * FROM decisions WHERE {VALID} ORDER BY number")
            return [self._entry(row) for row in rows]

    def num_undone(self) -> int:
        """How many decisions were taken back."""
        with connected(self.path) as connection:
            query = "SELECT count(*) FROM decisions WHERE decided = 'undo'"
            return connection.execute(query).fetchone()[0]

    def num_strips(self) -> int:
        """How many strips have decisions that were not taken back."""
        with connected(self.path) as connection:
            query = f"SELECT count(DISTINCT image_id) FROM decisions WHERE {VALID}"
            return connection.execute(query).fetchone()[0]

    def fingerprint(self) -> str | None:
        """The fingerprint of the data set that the store is about; None: it is empty."""
        with connected(self.path) as connection:
            return _fingerprint(connection)

    def class_names(self) -> set[str]:
        """The classes that the first call was about; of a page, all of its experiment's."""
        with connected(self.path) as connection:
            rows = connection.execute("SELECT call, class_name FROM decisions ORDER BY number")
            first = next(rows, None)
            same = takewhile(lambda row: row["call"] == first["call"], rows)
            return {row["class_name"] for row in (first, *same)} if first else set()

    def _last(self, connection: sqlite3.Connection, reviewer: str) -> list[Entry]:
        own = f"FROM decisions WHERE reviewer = ? AND {VALID}"
        call = f"SELECT call {own} ORDER BY number DESC LIMIT 1"
        query = f"SELECT * {own} AND number >= ({call}) AND call = ({call}) ORDER BY number"
        return [self._entry(row) for row in connection.execute(query, [reviewer] * 3)]

    def _sent(
        self, connection: sqlite3.Connection, decisions: Sequence[Decision], request: str
    ) -> list[int]:
        """The numbers of the entries of a call of this name; empty: there was none."""
        rows = [
            connection.execute(
                "SELECT * FROM decisions WHERE request = ?", [f"{number} {request}"]
            ).fetchone()
            for number in range(len(decisions) + 1)
        ]
        written = [self._entry(row) for row in rows if row is not None]
        before, now = (
            [each.model_dump(include=_SENT) for each in found] for found in (written, decisions)
        )
        if written and before != now:
            raise InputError(
                f"request {request[:80]!r}: was sent before with other decisions: give each its own"
            )
        return [entry.number for entry in written]

    def _entry(self, row: sqlite3.Row) -> Entry:
        values = {name: row[name] for name in Entry.model_fields}
        return validate(Entry, values, f"{self.path}: damaged, decision {row['number']}")

    def _check_data(self, connection: sqlite3.Connection, decisions: Sequence[Decision]) -> None:
        found = {decision.fingerprint for decision in decisions}
        known = _fingerprint(connection) or min(found, default=None)
        if found - {known}:
            raise InputError(
                f"{self.path}: holds decisions about the data set with fingerprint {known[:12]}, "
                f"and these are about {min(found - {known})[:12]}: give another file for each "
                "data set"
            )


def _fingerprint(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT fingerprint FROM decisions ORDER BY number LIMIT 1").fetchone()
    return None if row is None else row[0]


def _has_decided(connection: sqlite3.Connection, reviewer: str, image_id: str) -> bool:
    """Whether the reviewer has decided on a strip, even if that was taken back."""
    query = "SELECT 1 FROM decisions WHERE reviewer = ? AND image_id = ? LIMIT 1"
    return connection.execute(query, [reviewer, image_id]).fetchone() is not None


def _insert(connection: sqlite3.Connection, entries: Sequence[dict[str, object]]) -> list[int]:
    """Append the entries of one call; returns their numbers."""
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM decisions").fetchone()
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    numbers = [last + 1 + place for place in range(len(entries))]
    for number, entry in zip(numbers, entries, strict=True):
        values = {**entry, "number": number, "call": last + 1, "at": at}
        columns, places = ", ".join(values), ", ".join("?" * len(values))
        sql = f"INSERT INTO decisions ({columns}) VALUES ({places})"
        connection.execute(sql, list(values.values()))
    return numbers

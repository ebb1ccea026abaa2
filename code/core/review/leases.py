"""Which strip a reviewer is shown next: leases, strips for two reviewers, and a random sample."""

import hashlib
import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core.review.database import writing
from core.review.decisions import Sample
from core.review.store import ReviewStore

LEASE_SECONDS = 600.0


@dataclass(frozen=True)
class Shares:
    """Shares of the strips that two reviewers are shown, and that are in the random sample."""

    double: float = 0.1
    random: float = 0.1


@dataclass(frozen=True)
class Assignment:
    """A strip to review; where `blind`, given labels and probabilities are hidden.

    One that `is_open` is shown though enough reviewers, or this one, have decided on it.
    """

    image_id: str
    blind: bool
    sample: Sample
    num_reviewers: int
    is_open: bool = False


def chosen(fingerprint: str, image_id: str, share: float, purpose: str) -> bool:
    """Whether a strip belongs to a random share of the data set: the same for everybody.

    A larger share contains a smaller one of the same purpose.
    """
    return _draw(fingerprint, image_id, purpose) < share


def order_of_review(
    ranked: Sequence[str], fingerprint: str, shares: Shares = Shares()
) -> list[Assignment]:
    """The strips, the most suspect first, with those of the random sample spread among them.

    The sample has a random order of its own, so that those who stop early have reviewed a random
    part of it. It is shown blind, and so is each strip that two reviewers are shown.
    """
    drawn = [name for name in ranked if chosen(fingerprint, name, shares.random, "random")]
    drawn.sort(key=lambda name: _draw(fingerprint, name, "order"))
    is_drawn = set(drawn)
    parts: dict[Sample, list[str]] = {
        "random": drawn,
        "ranked": [name for name in ranked if name not in is_drawn],
    }
    placed = [
        ((number + 0.5) / len(names), name, sample)
        for sample, names in parts.items()
        for number, name in enumerate(names)
    ]
    assignments = []
    for _, name, sample in sorted(placed, key=lambda item: item[0]):
        double = chosen(fingerprint, name, shares.double, "double")
        blind = double or sample == "random"
        assignments.append(Assignment(name, blind, sample, 2 if double else 1))
    return assignments


def lease_next(
    store: ReviewStore,
    reviewer: str,
    order: Sequence[Assignment],
    count: int = 1,
    now: float | None = None,
) -> list[Assignment]:
    """The next strips for a reviewer, leased for ten minutes; fewer than `count` at the end.

    Left out are strips that this reviewer has decided on, that enough reviewers have, and that
    another reviewer has leased. A reviewer who asks again has the lease of the same strips renewed.
    A strip is not blind for who decided on it before, and took that back: its labels were shown.
    `now` is in seconds since 1970.
    """
    now = time.time() if now is None else now
    with writing(store.path) as connection:
        connection.execute("DELETE FROM leases WHERE ends <= ?", [now])
        found = list(itertools.islice(_open_to(connection, reviewer, order), count))
        seen = _decided_before(connection, reviewer, found)
        connection.executemany(
            "INSERT OR REPLACE INTO leases (image_id, reviewer, ends) VALUES (?, ?, ?)",
            [(assignment.image_id, reviewer, now + LEASE_SECONDS) for assignment in found],
        )
    return [replace(each, blind=each.blind and each.image_id not in seen) for each in found]


def _open_to(
    connection: sqlite3.Connection, reviewer: str, order: Sequence[Assignment]
) -> Iterator[Assignment]:
    cursor = connection.cursor()
    cursor.row_factory = None  # plain rows take half the time
    reviewed = cursor.execute("SELECT image_id, reviewer FROM reviewed").fetchall()
    reviewers = Counter(image_id for image_id, _ in reviewed)
    leased = cursor.execute("SELECT image_id FROM leases WHERE reviewer != ?", [reviewer])
    leased = {image_id for (image_id,) in leased}
    own = {image_id for image_id, name in reviewed if name == reviewer}
    for assignment in order:
        name = assignment.image_id
        is_wanted = name not in own and reviewers[name] < assignment.num_reviewers
        if name not in leased and (is_wanted or assignment.is_open):
            yield assignment


def _decided_before(
    connection: sqlite3.Connection, reviewer: str, assignments: Sequence[Assignment]
) -> set[str]:
    """The strips on which the reviewer has decided, even if that was taken back."""
    names = [assignment.image_id for assignment in assignments if assignment.blind]
    places = ", ".join("?" * len(names))
    query = f"SELECT image_id FROM decisions WHERE reviewer = ? AND image_id IN ({places})"
    return {row[0] for row in connection.execute(query, [reviewer, *names])}


def _draw(fingerprint: str, image_id: str, purpose: str) -> float:
    """A number from 0 to 1, random but always the same for the same strip and purpose."""
    text = "\0".join((purpose, fingerprint, image_id))
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

"""Strips on which the reviewers so far have not settled, for one more of them."""

from collections.abc import Sequence
from dataclasses import replace

from core.review.database import VALID, connected
from core.review.leases import Assignment
from core.review.store import ReviewStore
from core.review.verdicts import majority

# Plain rows: to validate each entry of a large log would take a second for each question.
_LABELS = f"""SELECT number, image_id, class_name, reviewer,
CASE decided WHEN 'keep' THEN given WHEN 'set' THEN 1 WHEN 'clear' THEN 0 END
FROM decisions WHERE {VALID}"""
_Label = int | None


def to_settle(store: ReviewStore, reviewer: str, order: Sequence[Assignment]) -> list[Assignment]:
    """The strips of `order` with a conflict or an unsure class, for this reviewer to settle.

    These are those whose open class the reviewer has not decided, or was unsure about. The latter
    come last, that first which was seen longest ago.
    """
    labels: dict[str, dict[str, dict[str, _Label]]] = {}
    seen: dict[str, int] = {}
    with connected(store.path) as connection:
        rows = connection.execute(f"{_LABELS} ORDER BY number")
        for number, image_id, class_name, name, label in rows:
            labels.setdefault(image_id, {}).setdefault(class_name, {})[name] = label
            if name == reviewer:
                seen[image_id] = number
    found = [
        replace(each, is_open=True)
        for each in order
        if any(
            majority(by_name.values()) is None and by_name.get(reviewer) is None
            for by_name in labels.get(each.image_id, {}).values()
        )
    ]
    return sorted(found, key=lambda each: seen.get(each.image_id, 0))


def decided_before(
    store: ReviewStore, reviewer: str, image_ids: Sequence[str]
) -> dict[str, dict[str, _Label]]:
    """The label of each class that the reviewer last wanted, None for unsure, by strip."""
    labels: dict[str, dict[str, _Label]] = {}
    places = ", ".join("?" * len(image_ids))
    query = f"{_LABELS} AND reviewer = ? AND image_id IN ({places}) ORDER BY number"
    with connected(store.path) as connection:
        for _, image_id, class_name, _, label in connection.execute(query, [reviewer, *image_ids]):
            labels.setdefault(image_id, {})[class_name] = label
    return labels

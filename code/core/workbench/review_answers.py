"""What a page is told of a strip that is reviewed, and of the last decision."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.files.escaping import for_terminal
from core.review.decisions import Entry
from core.review.leases import Assignment
from core.workbench.review_lists import ReviewList
from core.workbench.strip_sources import strip_key
from core.workbench.summary import shown


def strip_shown(
    strips: ReviewList, assigned: Assignment, before: Mapping[str, int | None] | None
) -> dict[str, Any]:
    """What the page may know of a strip: of a blind one, neither labels nor probabilities.

    `before` has the labels that the same reviewer wanted.
    """
    key = strip_key(assigned.image_id)
    strip = strips.strips[key]
    seen = {"key": key, "name": for_terminal(strip.image_id), "blind": assigned.blind}
    if assigned.blind:
        return seen
    if before is not None:
        seen["answers"] = [
            before.get(name, given)
            for name, given in zip(strips.class_names, strip.labels, strict=True)
        ]
    return {
        **seen,
        "given": list(strip.labels),
        "probabilities": list(strip.probabilities),
        "column": strip.column,
        "suggested": strip.suggested,
    }


def last_shown(strips: ReviewList, entries: Sequence[Entry]) -> dict[str, Any] | None:
    """The last decision of the reviewer, with what was hidden until then."""
    if not entries:
        return None
    return {
        "number": entries[0].number,
        "key": strip_key(entries[0].image_id),
        "name": for_terminal(entries[0].image_id),
        "blind": entries[0].blind,
        "classes": [shown(entry.class_name) for entry in entries],
        "given": [int(entry.given) for entry in entries],
        "probabilities": [entry.probability for entry in entries],
        "answers": [entry.label for entry in entries],
    }

"""What several reviewers decided about one label, taken together."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.review.decisions import Entry


@dataclass(frozen=True)
class Verdict:
    """The label of a strip and class after review.

    `state` is `decided` where most of the reviewers want this label, `conflict` where they want
    different ones and no most of them agree, else `unsure`; then the given label stays.
    `decisions` holds the last valid decision of each reviewer, by name.
    """

    image_id: str
    class_name: str
    given: int
    label: int
    state: Literal["decided", "conflict", "unsure"]
    decisions: Mapping[str, Entry]

    @property
    def is_changed(self) -> bool:
        """Whether the label is not the given one."""
        return self.label != self.given

    @property
    def reasons(self) -> str:
        """Who wants what, in one line."""
        return ", ".join(f"{name}: {entry.decided}" for name, entry in self.decisions.items())


def current_verdicts(entries: Iterable[Entry]) -> list[Verdict]:
    """The verdict of each strip and class that has valid decisions, sorted by both."""
    last: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        last.setdefault((entry.image_id, entry.class_name), {})[entry.reviewer] = entry
    return [_verdict(decisions) for _, decisions in sorted(last.items())]


def majority(labels: Collection[int | None]) -> int | None:
    """The label that most of the reviewers want; None where no most of them agree.

    Who is unsure wants None, and counts against both.
    """
    counts = Counter(labels)
    return next((label for label in (0, 1) if 2 * counts[label] > len(labels)), None)


def _verdict(decisions: dict[str, Entry]) -> Verdict:
    first = next(iter(decisions.values()))
    wanted = [entry.label for entry in decisions.values()]
    final, state = majority(wanted), "decided"
    if final is None:
        final = int(first.given)
        state = "conflict" if 0 in wanted and 1 in wanted else "unsure"
    ordered = dict(sorted(decisions.items()))
    return Verdict(first.image_id, first.class_name, int(first.given), final, state, ordered)

"""What a store holds, as lines of text."""

from collections import Counter

from core.analysis.text_tables import aligned
from core.review.estimates import (
    CLEAR_DEFINITION,
    Agreement,
    ErrorRate,
    agreement_by_class,
    error_rates,
)
from core.review.store import ReviewStore
from core.review.verdicts import Verdict, current_verdicts

_HEADER = [
    "",
    "labels",
    "added",
    "removed",
    "unsure",
    "conflicts",
    "kappa",
    "pairs",
    "wrong labels",
]
_MOST_LISTED = 20


def summary(store: ReviewStore) -> str:
    """The table, the notes, and the conflicts by name."""
    lines = [*aligned(summary_rows(store)), "", *summary_notes(store)]
    return "\n".join([*lines, *_conflicts(current_verdicts(store.entries()))])


def summary_rows(store: ReviewStore) -> list[list[str]]:
    """A row for each class below a header: what became of its labels, agreement, rate of errors."""
    verdicts = current_verdicts(store.entries())
    agreement, rates = agreement_by_class(verdicts), error_rates(verdicts)
    rows = [_HEADER]
    for name in sorted({verdict.class_name for verdict in verdicts}):
        own = [verdict for verdict in verdicts if verdict.class_name == name]
        states = Counter(verdict.state for verdict in own)
        added = sum(verdict.label > verdict.given for verdict in own)
        removed = sum(verdict.label < verdict.given for verdict in own)
        counts = (len(own), added, removed, states["unsure"], states["conflict"])
        rate = _rate(rates[name]) if name in rates else "-"
        rows.append([name, *map(str, counts), *_kappa(agreement[name]), rate])
    return rows


def summary_notes(store: ReviewStore) -> list[str]:
    """Who reviewed how much, how many strips have a wrong label, and which class is unclear.

    Who decided what is not among them: a reviewer who settles a conflict reads them.
    """
    entries = store.entries()
    verdicts = current_verdicts(entries)
    by = Counter(entry.reviewer for entry in entries)
    who = ", ".join(f"{name} {number}" for name, number in sorted(by.items()))
    strips = len({entry.image_id for entry in entries})
    fingerprint = (store.fingerprint() or "none yet")[:12]
    lines = [
        f"{store.path}: {len(entries)} decisions on {strips} strips, {store.num_undone()} taken "
        f"back; data set {fingerprint}",
        *([f"By reviewer: {who}"] if by else []),
        *_on_the_rate(error_rates(verdicts)[""]),
    ]
    for name, found in agreement_by_class(verdicts).items():
        if found.kappa is not None and found.kappa < CLEAR_DEFINITION:
            lines.append(
                f"{name}: kappa is below {CLEAR_DEFINITION}: its definition is unclear, rather "
                "than the strips"
            )
    return lines


def _on_the_rate(strips: ErrorRate) -> list[str]:
    if strips.rate is None:
        return ["No random sample is reviewed yet, so the rate of wrong labels is not known"]
    left_out = f"; {strips.num_open} are not decided in every class" if strips.num_open else ""
    return [
        f"Strips with a wrong label, in the random sample: {strips.num_wrong} of "
        f"{strips.num_reviewed}, {_rate(strips)} (95 %){left_out}"
    ]


def _conflicts(verdicts: list[Verdict]) -> list[str]:
    """Conflicts, as many as are read."""
    found = [verdict for verdict in verdicts if verdict.state == "conflict"]
    lines = [f"Conflict: {v.image_id}, {v.class_name} ({v.reasons})" for v in found[:_MOST_LISTED]]
    more = len(found) - _MOST_LISTED
    return [*lines, f"and {more} more conflicts"] if more > 0 else lines


def _kappa(found: Agreement) -> tuple[str, str]:
    return "-" if found.kappa is None else f"{found.kappa:.2f}", str(found.num_pairs)


def _rate(found: ErrorRate) -> str:
    if found.rate is None:
        return "-"
    low, high = (100 * bound for bound in found.interval)
    return f"{100 * found.rate:.1f} % [{low:.1f}, {high:.1f}]"

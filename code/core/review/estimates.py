"""How well reviewers agree, and how many of the given labels are wrong."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy.stats import beta

from core.review.verdicts import Verdict

CONFIDENCE = 0.95
CLEAR_DEFINITION = 0.6
"""Below this kappa, it is the definition of a class that is unclear, rather than its strips."""


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa over pairs of decisions; None where it is not defined."""

    num_pairs: int
    kappa: float | None


@dataclass(frozen=True)
class ErrorRate:
    """The share of wrong labels in a random sample, and its exact interval.

    Without a sample, rate and interval are None. `num_open` were reviewed, but are not decided.
    """

    num_wrong: int
    num_reviewed: int
    num_open: int
    rate: float | None
    interval: tuple[float, float] | None


def agreement_by_class(verdicts: Iterable[Verdict]) -> dict[str, Agreement]:
    """How well two reviewers agree on each class, where both of them saw the strip blind.

    Unsure counts as an answer of its own. Of three reviewers or more, each pair counts; the one
    whose name comes first in the alphabet is the first rater.
    """
    pairs: dict[str, list[tuple[int | None, int | None]]] = {}
    for verdict in verdicts:
        blind = [entry.label for entry in verdict.decisions.values() if entry.blind]
        pairs.setdefault(verdict.class_name, []).extend(combinations(blind, 2))
    return {
        name: Agreement(len(found), cohens_kappa(found)) for name, found in sorted(pairs.items())
    }


def cohens_kappa(pairs: Sequence[tuple[int | None, int | None]]) -> float | None:
    """(observed - expected) / (1 - expected) agreement of two raters.

    None without a pair, and where both raters always give one and the same answer.
    Source: Cohen 1960
    """
    if not pairs:
        return None
    number = len(pairs)
    first, second = (Counter(answers) for answers in zip(*pairs, strict=True))
    chance = sum(first[answer] * second[answer] for answer in first)
    if chance == number**2:
        return None
    alike = sum(one == other for one, other in pairs)
    return (alike * number - chance) / (number**2 - chance)


def error_rates(verdicts: Iterable[Verdict]) -> dict[str, ErrorRate]:
    """The share of wrong labels of each class, estimated from the strips of the random sample.

    The name "" stands for the strips: of those on which every class of the sample is decided, the
    share with at least one wrong label. Decisions on other strips are left out: they were shown
    because they are suspect.
    """
    sample = [
        verdict
        for verdict in verdicts
        if any(entry.sample == "random" for entry in verdict.decisions.values())
    ]
    by_class: dict[str, list[Verdict]] = {}
    by_strip: dict[str, list[Verdict]] = {}
    for verdict in sample:
        by_class.setdefault(verdict.class_name, []).append(verdict)
        by_strip.setdefault(verdict.image_id, []).append(verdict)
    rates = {name: _of_labels(found) for name, found in sorted(by_class.items())}
    whole = [
        strip
        for strip in by_strip.values()
        if len(strip) == len(by_class) and all(verdict.state == "decided" for verdict in strip)
    ]
    wrong = sum(any(verdict.is_changed for verdict in strip) for strip in whole)
    return {"": error_rate(wrong, len(whole), len(by_strip) - len(whole)), **rates}


def _of_labels(verdicts: Sequence[Verdict]) -> ErrorRate:
    decided = [verdict for verdict in verdicts if verdict.state == "decided"]
    wrong = sum(verdict.is_changed for verdict in decided)
    return error_rate(wrong, len(decided), len(verdicts) - len(decided))


def error_rate(num_wrong: int, num_reviewed: int, num_open: int = 0) -> ErrorRate:
    """A rate with its exact interval of 95 %.

    Source: Clopper and Pearson 1934
    """
    if not num_reviewed:
        return ErrorRate(0, 0, num_open, None, None)
    right, tail = num_reviewed - num_wrong, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, num_wrong, right + 1)) if num_wrong else 0.0
    high = float(beta.ppf(1 - tail, num_wrong + 1, right)) if right else 1.0
    return ErrorRate(num_wrong, num_reviewed, num_open, num_wrong / num_reviewed, (low, high))

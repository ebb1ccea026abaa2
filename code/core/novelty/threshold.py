"""A threshold at a chosen rate of false alarms, from the scores of clean strips."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

from core.errors import InputError

_CONFIDENCE = 0.95
PER_1000 = 1000


@dataclass(frozen=True)
class Threshold:
    """A strip raises the alarm where its score is above `threshold`.

    `interval_per_1000` holds the rate of false alarms with a probability of 95 %: it is as wide as
    the groups of strips are few. `is_enough` is false where the chosen rate is lower than any that
    so many groups can set; `expected_per_1000` is then that lowest one.
    """

    threshold: float
    chosen_per_1000: float
    expected_per_1000: float
    interval_per_1000: list[float]
    num_strips: int
    num_groups: int
    is_enough: bool

    def record(self) -> dict[str, Any]:
        """As results.json keeps it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """What it is worth, in one or two lines."""
        low, high = self.interval_per_1000
        lines = [
            f"threshold {self.threshold:.6g} from {self.num_strips} clean strips in "
            f"{self.num_groups} groups: {self.expected_per_1000:.3g} false alarms per 1,000 "
            f"expected, 95 % interval {low:.3g} to {high:.3g}"
        ]
        if not self.is_enough:
            needed = math.ceil(PER_1000 / self.chosen_per_1000) - 1
            lines.append(
                f"{self.num_groups} groups of clean strips are too few for "
                f"{self.chosen_per_1000:g} false alarms per 1,000, which takes at least {needed}: "
                "the threshold is the largest of their scores"
            )
        return lines


def choose_threshold(
    scores: np.ndarray, false_alarms_per_1000: float, groups: np.ndarray | None = None
) -> Threshold:
    """The k-th largest of n clean scores, with k the whole part of rate * (n + 1), at least 1.

    Strips of one group (near-duplicates) pass a threshold together, so a group counts as one strip
    with its largest score: n is the number of groups. The expected rate of later clean groups with
    a score above the threshold is k / (n + 1), whatever the distribution, and the rate itself has
    the beta distribution (k, n - k + 1). The rate of strips is that, or less where the strips of a
    group differ.

    Shape: scores (strips,), groups (strips,) of group numbers
    Source: Wilks 1941 (tolerance limits)
    """
    scores = checked_scores(scores)
    highest = np.sort(scores if groups is None else _highest(scores, groups))
    number, rate = len(highest), false_alarms_per_1000 / PER_1000
    wanted = math.floor(rate * (number + 1) + 1e-9)
    place = max(1, wanted)
    tail = (1 - _CONFIDENCE) / 2
    rates = beta.ppf([tail, 1 - tail], place, number - place + 1)
    return Threshold(
        threshold=float(highest[-place]),
        chosen_per_1000=false_alarms_per_1000,
        expected_per_1000=PER_1000 * place / (number + 1),
        interval_per_1000=(PER_1000 * rates).tolist(),
        num_strips=len(scores),
        num_groups=number,
        is_enough=wanted >= 1,
    )


def _highest(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The largest score of each group."""
    names, member_of = np.unique(groups, return_inverse=True)
    highest = np.full(len(names), -np.inf)
    np.maximum.at(highest, member_of, scores)
    return highest


def false_alarms(
    scores: np.ndarray, threshold: float, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """The rate of clean strips above a threshold, with its exact 95 % interval.

    For the interval, strips of one group count as one, as for the threshold.
    Shape: scores (strips,), groups (strips,) of group numbers
    Source: Clopper and Pearson 1934
    """
    scores = checked_scores(scores)
    number, above = len(scores), int((scores > threshold).sum())
    num_groups = number if groups is None else len(np.unique(groups))
    found, trials = above * num_groups / number, num_groups
    tail = (1 - _CONFIDENCE) / 2
    low = beta.ppf(tail, found, trials - found + 1) if found else 0.0
    high = beta.ppf(1 - tail, found + 1, trials - found) if found < trials else 1.0
    return {
        "num_strips": number,
        "num_groups": num_groups,
        "num_alarms": above,
        "per_1000": PER_1000 * above / number,
        "interval_per_1000": [PER_1000 * float(low), PER_1000 * float(high)],
    }


def checked_scores(scores: np.ndarray) -> np.ndarray:
    """The scores. Raises InputError where there are none, or one is not finite."""
    scores = np.asarray(scores, np.float64)
    if not len(scores):
        raise InputError("no clean strips: a threshold needs at least one")
    if not np.isfinite(scores).all():
        raise InputError(
            "detector: a score is not finite (NaN or infinite): its weights are damaged: fit it "
            "again"
        )
    return scores

"""Whether one experiment is better than another, on the same test images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr

from core.analysis.ranking import FigureKey
from core.errors import InputError
from core.experiments.predictions import Predictions, read_predictions
from core.experiments.reading import Experiment
from core.metrics.intervals import Bootstrap, paired_differences
from core.metrics.scored_predictions import DEFAULT_THRESHOLD


@dataclass(frozen=True)
class Pair:
    """First minus second for one figure, and how many label sets only one of them has right.

    `only_first` and `only_second` count the images whose label set only that one predicts
    exactly, at 0.5; `mcnemar_p` is the exact probability of so large a difference by chance.
    """

    first: str
    second: str
    figure: str
    difference: float
    interval: tuple[float, float]
    confidence: float
    only_first: int
    only_second: int
    mcnemar_p: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0

    def sentence(self) -> str:
        """The verdict, in points of 0.01."""
        better, worse, sign = self.first, self.second, 1
        if self.difference < 0:
            better, worse, sign = worse, better, -1
        low, high = sorted(100 * sign * bound for bound in self.interval)
        only_better, only_worse = (self.only_first, self.only_second)[::sign]
        verdict = "distinguishable" if self.distinguishable else "not distinguishable"
        points = f"{100 * abs(self.difference):.1f} points"
        head = f"{better} is better than {worse} by {points} of {self.figure}"
        if self.difference == 0:
            head = f"{better} equals {worse} in {self.figure}"
        return (
            f"{head} [{low:.1f}, {high:.1f}]: {verdict}; label sets that only it has right: "
            f"{only_better}, that only the other has right: {only_worse} "
            f"(exact McNemar p = {self.mcnemar_p:.2g})"
        )


def compare_pair(
    first: Experiment, second: Experiment, figure: str, key: FigureKey, bootstrap: Bootstrap
) -> Pair:
    """Compare two experiments by a figure of their test part at 0.5.

    Source: McNemar 1947, in its exact binomial form.
    Raises InputError for predictions that cannot be read, other classes, or other test images.
    """
    one, other = read_predictions(first), read_predictions(second)
    _check_comparable(first, second, one, other)
    scored = [(part.probabilities, DEFAULT_THRESHOLD) for part in (one, other)]
    found: Any = paired_differences(one.labels, *scored, first.class_names, bootstrap)
    for step in key:
        if step not in found:
            raise InputError(f"{figure} cannot be paired: predictions.csv does not hold it")
        found = found[step]
    if found is None:
        raise InputError(f"{figure} is undefined on the test images of {first.name}")
    right = [((p >= threshold) == one.labels).all(axis=1) for p, threshold in scored]
    counts = [int((own & ~others).sum()) for own, others in (right, right[::-1])]
    about = (first.name, second.name, figure)
    interval = (found["difference"], tuple(found["interval"]), bootstrap.confidence)
    return Pair(*about, *interval, *counts, exact_mcnemar(*counts))


def _check_comparable(
    first: Experiment, second: Experiment, one: Predictions, other: Predictions
) -> None:
    names, others = first.class_names, second.class_names
    if names != others:
        raise InputError(
            f"{first.name} has the classes {', '.join(names)}, {second.name} has "
            f"{', '.join(others)}: not comparable"
        )
    if one.image_ids != other.image_ids:
        shared = len(set(one.image_ids) & set(other.image_ids))
        raise InputError(
            f"{first.name} and {second.name} were tested on different images ({shared} of "
            f"{len(one.image_ids)} and {len(other.image_ids)} in common): not comparable"
        )
    if not np.array_equal(one.labels, other.labels):
        raise InputError(
            f"{first.name} and {second.name} were tested on the same images with different "
            "labels: not comparable"
        )


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p: an image that only one has right is as likely to be either's."""
    fewer, discordant = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5)))

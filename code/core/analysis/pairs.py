"""Whether one experiment is better than another, on the same test images."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import bdtr

from core.analysis.ranking import TITLES, FigureKey
from core.analysis.text_tables import resampled
from core.errors import InputError
from core.experiments.predictions import Predictions, read_predictions
from core.experiments.reading import Experiment
from core.metrics.intervals import Bootstrap, paired_differences
from core.metrics.scored_predictions import DEFAULT_THRESHOLD


@dataclass(frozen=True)
class Pair:
    """First minus second for one figure, and how many label sets only one of them has right.

    `only_first` and `only_second` count the images whose label set only that one predicts
    exactly, at 0.5, or the groups in which it predicts more so; `mcnemar_p` is the exact
    probability of so large a difference by chance.
    `unit` is what was resampled and counted, images or groups of near-duplicates, and `num_units`
    their number. `labels` are their short names for the sentence; without, it has their names.
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
    labels: tuple[str, ...] = ()
    unit: str = "images"
    num_units: int | None = None

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0

    def sentence(self) -> str:
        """The verdict in words; better only where the interval says so."""
        sign = -1 if self.difference < 0 else 1
        better, worse = (self.labels or (self.first, self.second))[::sign]
        low, high = sorted(sign * bound for bound in self.interval)
        title = TITLES.get(self.figure, self.figure)
        ahead = _signed(abs(self.difference))
        over = resampled(self.unit, self.num_units)
        bounds = f"{_signed(low)} to {_signed(high)}"
        interval = f"{100 * self.confidence:g} % interval over {over} {bounds}"
        zero = ", which includes 0" if low <= 0 <= high else ""
        if not self.difference:
            verdict = f"{better} and {worse} have the same {title}; difference: {interval}"
        elif low > 0:
            verdict = (
                f"{better} is significantly better than {worse} in {title}: {ahead}, {interval}"
            )
        else:
            verdict = (
                f"No significant difference in {title} between {better} and {worse}: "
                f"{ahead} for the former, {interval}{zero}"
            )
        counts = (self.only_first, self.only_second)[::sign]
        chance = "p < 0.001" if self.mcnemar_p < 0.001 else f"p = {self.mcnemar_p:.2g}"
        word = "significant" if 1 - self.mcnemar_p > self.confidence else "not significant"
        counted = "Images with every label right"
        if self.unit == "groups":
            counted = "Groups with more images right"
        return (
            f"{verdict}. {counted}: {counts[0]} by the former alone, "
            f"{counts[1]} by the latter alone (exact McNemar {chance}, {word})."
        )


def _signed(value: float) -> str:
    """+0.021, with enough decimals to tell it from 0."""
    decimals = 3
    while value and decimals < 9 and not round(value, decimals):
        decimals += 1
    return f"{value:+.{decimals}f}" if value else "0"


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
    groups = other.groups if one.groups is None else one.groups
    bootstrap = replace(bootstrap, groups=groups)
    found: Any = paired_differences(one.labels, *scored, first.class_names, bootstrap)
    for step in key:
        if step not in found:
            raise InputError(f"{figure} cannot be paired: predictions.csv does not hold it")
        found = found[step]
    if found is None:
        raise InputError(f"{figure} is undefined on the test images of {first.name}")
    right = [((p >= threshold) == one.labels).all(axis=1) for p, threshold in scored]
    units = bootstrap.units(one.labels)
    lead = np.bincount(units.of_image, right[0].astype(int) - right[1])
    counts = [int((lead > 0).sum()), int((lead < 0).sum())]
    unit = bootstrap.record(one.labels)
    about = (first.name, second.name, figure)
    interval = (found["difference"], tuple(found["interval"]), bootstrap.confidence)
    return Pair(
        *about, *interval, *counts, exact_mcnemar(*counts),
        unit=unit["unit"], num_units=unit["num_units"],
    )  # fmt: skip


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
    """Two-sided exact p: a unit that only one has right is as likely to be either's."""
    fewer, discordant = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5)))

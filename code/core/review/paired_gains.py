"""Figures of two models of several seeds on the same strips, and what the second one gains."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from core.metrics.intervals import TOLERANCE, Bootstrap
from core.metrics.resampling import FigureKey, Figures, WeightedFigures, bootstrap_weights
from core.metrics.scored_predictions import Thresholds, decided

NO_DIFFERENCE = "no difference shown"


class Seed(NamedTuple):
    """Two models of one seed: probabilities and thresholds of each, of the same strips.

    `rows` are the positions of these strips among those of all seeds.
    Shape: rows (images,); probabilities (images, classes).
    """

    rows: np.ndarray
    before: tuple[np.ndarray, Thresholds]
    after: tuple[np.ndarray, Thresholds]


@dataclass(frozen=True)
class Gain:
    """One figure of both models, as means over seeds, and its gain: after minus before."""

    before: float
    after: float
    by_seed: tuple[float, ...]
    interval: tuple[float, float]

    @property
    def difference(self) -> float:
        """The mean gain over seeds."""
        return statistics.mean(self.by_seed)

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves zero out. One without a width says nothing: all depends on
        the one or two strips that show the class.
        """
        low, high = self.interval
        return low < high and not low <= 0 <= high

    @property
    def verdict(self) -> str:
        """`better` or `worse` only where the interval says so."""
        if not self.is_shown:
            return NO_DIFFERENCE
        return "better" if self.difference > 0 else "worse"


def paired_gains(
    labels: np.ndarray,
    class_names: Sequence[str],
    seeds: Sequence[Seed],
    figures: Sequence[FigureKey],
    bootstrap: Bootstrap | None = None,
) -> dict[FigureKey, Gain | None]:
    """The gain in each of `figures`; None where it is undefined for a seed.

    The interval is that of the mean gain over other strips and other seeds: the variance over
    resamples of the strips, which are the same for all models, plus that between seeds, with
    Student's quantile. With one seed, it is over strips alone.

    Shape: labels (images, classes), of the strips of all seeds.
    """
    chosen = bootstrap or Bootstrap()
    weights = _weights(labels, chosen)
    drawn = [
        [
            _figures(labels[seed.rows], model, class_names, [w[seed.rows] for w in weights])
            for model in (seed.before, seed.after)
        ]
        for seed in seeds
    ]
    support = labels.sum(axis=0)
    return {
        key: _gain(key, drawn, chosen.confidence, _units_of(key, support, class_names))
        for key in figures
    }


def _weights(labels: np.ndarray, bootstrap: Bootstrap) -> list[np.ndarray]:
    """The strips as they are, then resamples of them, a chunk at a time."""
    units, generator = bootstrap.units(labels), np.random.default_rng(bootstrap.seed)
    return [
        np.ones((len(labels), 1)),
        *bootstrap_weights(units, bootstrap.resamples, generator),
    ]


def _figures(
    labels: np.ndarray,
    model: tuple[np.ndarray, Thresholds],
    class_names: Sequence[str],
    weights: Sequence[np.ndarray],
) -> Figures:
    probabilities, thresholds = model
    figures = WeightedFigures(decided(labels, probabilities, class_names, thresholds), class_names)
    found = [figures(chunk) for chunk in weights]
    return {key: np.concatenate([chunk[key] for chunk in found]) for key in found[0]}


def _units_of(key: FigureKey, support: np.ndarray, class_names: Sequence[str]) -> int:
    """About how many strips decide the figure: those that show the class, or any class."""
    return int(support[class_names.index(key[1])] if key[0] == "per_class" else support.sum())


def _gain(
    key: FigureKey, drawn: Sequence[Sequence[Mapping[FigureKey, np.ndarray]]],
    confidence: float, num_units: int,
) -> Gain | None:  # fmt: skip
    if any(key not in figures for pair in drawn for figures in pair):
        return None
    # Shape: (seeds, 1 + resamples); the first column is of the strips as they are.
    before, after = (np.array([pair[model][key] for pair in drawn]) for model in (0, 1))
    gains = after - before
    by_seed, resampled = gains[:, 0], gains[:, 1:].mean(axis=0)
    over_strips = float(np.nanvar(resampled)) if np.isfinite(resampled).any() else 0.0
    count = len(by_seed)
    between = float(by_seed.var(ddof=1)) / count if count > 1 else 0.0
    reach = _reach([(over_strips, max(1, num_units - 1)), (between, max(1, count - 1))], confidence)
    middle = float(by_seed.mean())
    return Gain(
        float(before[:, 0].mean()), float(after[:, 0].mean()), tuple(by_seed.tolist()),
        (middle - reach, middle + reach),
    )  # fmt: skip


def _reach(variances: Sequence[tuple[float, int]], confidence: float) -> float:
    """Half the width of an interval from variances that add up, each with degrees of freedom.

    Source: Satterthwaite 1946
    """
    total = sum(variance for variance, _ in variances)
    if total <= TOLERANCE**2:
        return 0.0
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in variances)
    return float(student.ppf((1 + confidence) / 2, freedom) * np.sqrt(total))

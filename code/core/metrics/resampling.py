"""All figures of many resamples of the same images at once, equal to scikit-learn on each."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from core.metrics.scored_predictions import METRICS, Decided

# Where a figure stands in a report, such as ("per_class", "defect_2", "f1").
FigureKey = tuple[str, ...]
Figures = dict[FigureKey, np.ndarray]

# Resamples computed together: 1,886 images x 128 float64 stay within a core's cache.
CHUNK = 128
# A label set of fewer units hardly varies when it is resampled on its own.
FEW_UNITS = 5


def strata(labels: np.ndarray) -> list[np.ndarray]:
    """Positions of the units of each label set, within which they are resampled.

    A set of fewer than five units joins the most frequent set with the same rarest class, so
    that at least this class keeps its support.
    """
    labels = labels.astype(bool)
    sets, codes, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    support = np.where(sets, labels.sum(axis=0), len(labels) + 1)
    rarest = np.where(sets.any(axis=1), support.argmin(axis=1), -1)
    home = np.arange(len(sets))
    for code in np.flatnonzero(counts < FEW_UNITS):
        alike = np.flatnonzero(rarest == rarest[code])
        home[code] = alike[counts[alike].argmax()]
    joined = home[codes]
    order = np.argsort(joined, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(joined[order])) + 1)


class Units(NamedTuple):
    """What is resampled: images, or groups of images that show the same piece.

    `of_image` is the number of each image's unit, in the order of the units' first images;
    `labels` are those that any image of a unit has. Shape: (images,), bool (units, C).
    """

    of_image: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, groups: np.ndarray | None = None) -> "Units":
        """Those of images with these labels; without `groups`, each image is a unit.

        Shape: labels (images, C), groups (images,) of group numbers.
        """
        labels = labels.astype(bool)
        if groups is None:
            return cls(np.arange(len(labels)), labels)
        _, firsts, numbers = np.unique(groups, return_index=True, return_inverse=True)
        of_image = firsts.argsort().argsort()[numbers]
        of_units = np.zeros((len(firsts), labels.shape[1]), bool)
        np.logical_or.at(of_units, of_image, labels)
        return cls(of_image, of_units)

    def count(self, per_image: np.ndarray) -> float:
        """The sum over units of the largest value of a unit's images. Shape: (images,)."""
        largest = np.zeros(len(self.labels))
        np.maximum.at(largest, self.of_image, per_image)
        return float(largest.sum())


def bootstrap_weights(
    units: Units, resamples: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """How often each image is drawn, (images, resamples), a chunk of resamples at a time."""
    labels, groups = units.labels, strata(units.labels)
    for start in range(0, resamples, CHUNK):
        columns = min(CHUNK, resamples - start)
        weights = np.ones((len(labels), columns))
        for group in groups:
            size = len(group)
            drawn = generator.integers(0, size, (size, columns)) * columns + np.arange(columns)
            counts = np.bincount(drawn.ravel(), minlength=size * columns)
            weights[group] = counts.reshape(size, columns)
        yield weights[units.of_image]


def jackknife_weights(units: Units) -> Iterator[np.ndarray]:
    """Each unit left out in turn; the others of its label set weigh more to make up for it.

    Shape: (images, units of the chunk).
    """
    labels = units.labels
    size, stratum = np.ones(len(labels)), np.empty(len(labels), dtype=int)
    for code, group in enumerate(strata(labels)):
        size[group], stratum[group] = len(group), code
    for start in range(0, len(labels), CHUNK):
        left_out = np.arange(start, min(start + CHUNK, len(labels)))
        left_out = left_out[size[left_out] > 1]
        same = stratum[:, None] == stratum[left_out]
        weights = np.where(same, size[left_out] / np.maximum(size[left_out] - 1, 1), 1.0)
        weights[left_out, np.arange(len(left_out))] = 0
        yield weights[units.of_image]


class WeightedFigures:
    """The figures of `classification_metrics` as a function of the images' weights."""

    def __init__(self, decided: Decided, names: Sequence[str]) -> None:
        labels, probabilities, predicted = decided
        self.names, image = names, np.arange(len(labels))
        classes = zip(names, labels.T, probabilities.T, predicted.T, strict=True)
        self.questions = {
            ("per_class", name): _Question(*one, image=image) for name, *one in classes
        }
        any_defect = labels.any(axis=1), probabilities.max(axis=1), predicted.any(axis=1)
        self.questions["any_defect",] = _Question(*any_defect, image)
        pooled = (values.ravel() for values in (labels, probabilities, predicted))
        self.questions["micro",] = _Question(*pooled, np.repeat(image, len(names)))
        self.exact = (labels == predicted).all(axis=1).astype(float)

    def __call__(self, weights: np.ndarray) -> Figures:
        """Each defined figure, one value per column of weights (images, resamples)."""
        figures = {
            (*where, metric): values
            for where, question in self.questions.items()
            for metric, values in question(weights).items()
        }
        for metric in METRICS:
            rows = [figures.get(("per_class", name, metric)) for name in self.names]
            defined = [row for row in rows if row is not None]
            if defined:
                figures["macro", metric] = np.mean(defined, axis=0)
        figures["subset_accuracy",] = self.exact @ weights / weights.sum(axis=0)
        return figures

    def trials(self, key: FigureKey, units: Units) -> float:
        """How many yes-or-no observations a figure other than a macro mean rests on.

        A unit of several images counts as its image with the most.
        """
        if key[:-1] not in self.questions:
            return len(units.labels)
        found, predicted, positives, _ = self.questions[key[:-1]].decisions
        if key[-1] == "auroc":
            return min(self.positives_and_negatives(key, units))
        of_figure = {"precision": predicted, "f1": predicted + positives - found}
        return units.count(of_figure.get(key[-1], positives))

    def positives_and_negatives(self, key: FigureKey, units: Units) -> list[float]:
        """How many units show the class of a figure, and how many have an image without it."""
        return [units.count(decisions) for decisions in self.questions[key[:-1]].decisions[2:]]


class _Question:
    """One yes-or-no question about the images: sorted once, weighted many times."""

    def __init__(
        self, labels: np.ndarray, scores: np.ndarray, predicted: np.ndarray, image: np.ndarray
    ) -> None:
        images = image[-1] + 1
        chosen = (labels & predicted, predicted, labels, ~labels)
        self.decisions = np.array([np.bincount(image[c], minlength=images) for c in chosen], float)
        # Precision and recall change only at the scores of positives: one row for each of these.
        levels, level = np.unique(-scores[labels], return_inverse=True)
        above = np.searchsorted(levels, -scores[~labels], side="left")
        reached = above < len(levels)
        tied = reached.copy()
        tied[reached] = levels[above[reached]] == -scores[~labels][reached]
        shape = (len(levels), images)
        self.positives = _sums(level, image[labels], shape)
        self.negatives_reached = _sums(above[reached], image[~labels][reached], shape)
        self.negatives_tied = _sums(above[tied], image[~labels][tied], shape)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Shape: weights (images, resamples); each figure (resamples,)."""
        found, predicted, positives, negatives = self.decisions @ weights
        figures = {
            "precision": _divide(found, predicted),
            "recall": _divide(found, positives),
            "f1": _divide(2 * found, predicted + positives),
        }
        if self.decisions[2].any():
            gained = self.positives @ weights
            hits = np.cumsum(gained, axis=0)
            false_alarms = np.cumsum(self.negatives_reached @ weights, axis=0)
            precision = _divide(hits, hits + false_alarms)
            ranked = np.einsum("gr,gr->r", gained, precision)
            figures["average_precision"] = _divide(ranked, positives, undefined=np.nan)
            if self.decisions[3].any():
                beaten = negatives - false_alarms + (self.negatives_tied @ weights) / 2
                ordered = np.einsum("gr,gr->r", gained, beaten)
                figures["auroc"] = _divide(ordered, positives * negatives, undefined=np.nan)
        return figures


def _sums(rows: np.ndarray, images: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """A matrix that sums the weights of images into rows."""
    return csr_array((np.ones(len(rows)), (rows, images)), shape=shape)


def _divide(numerator: np.ndarray, denominator: np.ndarray, undefined: float = 0.0) -> np.ndarray:
    """The quotient; where the denominator is 0, by default scikit-learn's zero_division=0."""
    result = np.full_like(numerator, undefined)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)

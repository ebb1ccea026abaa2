"""The one definition of every reported figure: equal to scikit-learn's, None where undefined.

Without scikit-learn, which checks its inputs anew for each figure: after each epoch, that took 2 %
of a short epoch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.metrics.scored_predictions import DEFAULT_THRESHOLD, METRICS, Thresholds, decided


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLD,
) -> dict[str, Any]:
    """All figures of a multi-label prediction, per class, macro and micro.

    A class is predicted where its probability is at least its threshold. Precision, recall and F1
    are 0 where their denominator is 0. Average precision requires a positive image, AUROC a
    negative one as well: without them they are None, left out of the macro mean, and counted in
    `undefined`. `any_defect`, not part of macro and micro, asks whether an image shows any class:
    any label, any predicted class and the largest probability, so that it never contradicts the
    classes (1 - prod(1 - p) would call four classes at 0.2 a defect of no class).

    Shape: labels and probabilities (images, classes), checked by `check_predictions`.
    """
    labels, probabilities, predicted = decided(labels, probabilities, class_names, thresholds)
    per_class = {
        name: _class_row(labels[:, c], probabilities[:, c], predicted[:, c])
        for c, name in enumerate(class_names)
    }
    macro, undefined = macro_means(per_class)
    by_class = isinstance(thresholds, Mapping)
    reported = {n: float(thresholds[n]) for n in class_names} if by_class else float(thresholds)
    return {
        "num_images": len(labels),
        "threshold": reported,
        "macro": macro,
        "micro": _scores(labels.ravel(), probabilities.ravel(), predicted.ravel()),
        "per_class": per_class,
        "any_defect": _class_row(
            labels.any(axis=1), probabilities.max(axis=1), predicted.any(axis=1)
        ),
        "subset_accuracy": float((labels == predicted).all(axis=1).mean()),
        "undefined": undefined,
    }


def macro_means(
    per_class: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, float | None], dict[str, int]]:
    """Unweighted means over the classes with a defined figure, and how many were left out."""
    macro, undefined = {}, {}
    for metric in METRICS:
        defined = [row[metric] for row in per_class.values() if row[metric] is not None]
        macro[metric] = float(np.mean(defined)) if defined else None
        undefined[metric] = len(per_class) - len(defined)
    return macro, undefined


def _class_row(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    true_positives, num_predicted, support = _counts(labels, predicted)
    return _scores(labels, probabilities, predicted) | {
        "support": support,
        "true_positives": true_positives,
        "false_positives": num_predicted - true_positives,
        "false_negatives": support - true_positives,
        "true_negatives": len(labels) - num_predicted - support + true_positives,
    }


def _scores(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray
) -> dict[str, float | None]:
    true_positives, num_predicted, support = _counts(labels, predicted)
    scores: dict[str, float | None] = {
        "precision": true_positives / num_predicted if num_predicted else 0.0,
        "recall": true_positives / support if support else 0.0,
        "f1": 2 * true_positives / (num_predicted + support) if num_predicted + support else 0.0,
    }
    scores |= {"average_precision": None, "auroc": None}
    if support:
        found, false_alarms = _ranked(labels, probabilities)
        scores["average_precision"] = _average_precision(found, false_alarms)
        if support < len(labels):
            scores["auroc"] = _auroc(found, false_alarms)
    return scores


def _counts(labels: np.ndarray, predicted: np.ndarray) -> tuple[int, int, int]:
    """True positives, predicted images and images with the class."""
    count = np.count_nonzero
    return int(count(labels & predicted)), int(count(predicted)), int(count(labels))


def _ranked(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives down to each probability that occurs, the highest first."""
    order = np.argsort(-probabilities, kind="stable")
    last = np.flatnonzero(np.append(np.diff(probabilities[order]), 1.0))
    found = np.cumsum(labels[order])[last]
    return found, last + 1 - found


def _average_precision(found: np.ndarray, false_alarms: np.ndarray) -> float:
    """The sum of precision times gained recall, from the lowest probability to the highest."""
    precision, recall = found / (found + false_alarms), found / found[-1]
    gained = np.diff(np.append(recall[::-1], 0.0))
    return float(max(0.0, -np.sum(gained * precision[::-1])))


def _auroc(found: np.ndarray, false_alarms: np.ndarray) -> float:
    """The area under the curve of true over false positive rate, by the trapezoidal rule."""
    if len(found) > 2:
        # Points between corners only add rounding.
        inner = (np.diff(found, 2) != 0) | (np.diff(false_alarms, 2) != 0)
        corners = np.concatenate([[True], inner, [True]])
        found, false_alarms = found[corners], false_alarms[corners]
    heights, widths = (np.insert(n, 0, 0) / n[-1] for n in (found, false_alarms))
    return float(np.trapezoid(heights, widths))

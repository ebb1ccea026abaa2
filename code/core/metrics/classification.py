"""The one definition of every reported figure; None where it is undefined.

The areas under curves are those of scikit-learn, which for the ratios of a few counts would take
longer than a small validation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics

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
    return _scores(labels, probabilities, predicted) | {
        "support": int(labels.sum()),
        "true_positives": int((labels & predicted).sum()),
        "false_positives": int((~labels & predicted).sum()),
        "false_negatives": int((labels & ~predicted).sum()),
        "true_negatives": int((~labels & ~predicted).sum()),
    }


def _scores(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray
) -> dict[str, float | None]:
    right, positives, alarms = (int(x.sum()) for x in (labels & predicted, labels, predicted))
    scores = {
        "precision": _ratio(right, alarms),
        "recall": _ratio(right, positives),
        "f1": _ratio(2 * right, positives + alarms),
        "average_precision": None,
        "auroc": None,
    }
    if labels.any():
        scores["average_precision"] = float(metrics.average_precision_score(labels, probabilities))
        if not labels.all():
            scores["auroc"] = float(metrics.roc_auc_score(labels, probabilities))
    return scores


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0

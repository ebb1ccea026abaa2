"""The one definition of every figure that is reported: scikit-learn computes, undefined is None."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from core.metrics.scored_predictions import (
    DEFAULT_THRESHOLD,
    METRICS,
    Thresholds,
    check_predictions,
    threshold_array,
)


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLD,
) -> dict[str, Any]:
    """All figures of a multi-label prediction, per class, macro and micro.

    A class is predicted where its probability is at least its threshold. Precision, recall and
    F1 are 0 where their denominator is. Average precision needs a positive image and AUROC a
    negative one too: without them they are None, left out of the macro mean, and the number of
    classes left out stands under `undefined`. `any_defect` is the image-level question whether
    there is any class at all: label = any label, prediction = any predicted class, score = the
    largest probability, so that it never contradicts the classes (1 - prod(1 - p) would call
    four classes at 0.2 a defect of no class). It takes no part in macro and micro.

    Shape: labels and probabilities (images, classes), labels 0 or 1.
    Raises:
        InputError: shapes differ, labels other than 0 and 1, probabilities NaN or outside [0, 1].
    """
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    predicted = probabilities >= threshold_array(thresholds, class_names)
    per_class = {
        name: _class_row(labels[:, c], probabilities[:, c], predicted[:, c])
        for c, name in enumerate(class_names)
    }
    macro, undefined = macro_means(per_class)
    return {
        "num_images": len(labels),
        "threshold": _as_reported(thresholds, class_names),
        "macro": macro,
        "micro": _scores(labels.ravel(), probabilities.ravel(), predicted.ravel()),
        "per_class": per_class,
        "any_defect": _class_row(
            labels.any(axis=1), probabilities.max(axis=1), predicted.any(axis=1)
        ),
        "subset_accuracy": float(accuracy_score(labels, predicted)),
        "undefined": undefined,
    }


def macro_means(
    per_class: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, float | None], dict[str, int]]:
    """Unweighted means over the classes where a figure is defined, and how many were left out."""
    macro, undefined = {}, {}
    for metric in METRICS:
        defined = [row[metric] for row in per_class.values() if row[metric] is not None]
        macro[metric] = float(np.mean(defined)) if defined else None
        undefined[metric] = len(per_class) - len(defined)
    return macro, undefined


def _class_row(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    counts = confusion_matrix(labels, predicted, labels=[False, True]).ravel().tolist()
    true_negatives, false_positives, false_negatives, true_positives = counts
    return _scores(labels, probabilities, predicted) | {
        "support": int(labels.sum()),
        "true_positives": true_positives,
        "false_positives": false_positives,
        "false_negatives": false_negatives,
        "true_negatives": true_negatives,
    }


def _scores(
    labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray
) -> dict[str, float | None]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, pos_label=True, average="binary", zero_division=0
    )
    ranked = labels.any()
    separable = ranked and not labels.all()
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "average_precision": float(average_precision_score(labels, probabilities))
        if ranked
        else None,
        "auroc": float(roc_auc_score(labels, probabilities)) if separable else None,
    }


def _as_reported(thresholds: Thresholds, class_names: Sequence[str]) -> float | dict[str, float]:
    if isinstance(thresholds, Mapping):
        return {name: float(thresholds[name]) for name in class_names}
    return float(thresholds)

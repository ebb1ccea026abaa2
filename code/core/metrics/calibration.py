"""Whether a probability of 0.8 means 80 %: calibration errors and reliability curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss

from core.metrics.scored_predictions import check_predictions

BINS = 15


def calibration_figures(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], bins: int = BINS
) -> dict[str, Any]:
    """Expected calibration error, Brier score and reliability curve of each class, and means.

    ECE = sum over bins of (images in the bin / images) * |share of positives - mean probability|,
    with bins of equal width.
    Source: Guo 2017 (ECE), Brier 1950.
    """
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    per_class = {}
    for c, name in enumerate(class_names):
        curve = reliability_curve(labels[:, c], probabilities[:, c], bins)
        gaps = [(p["num_images"], p["share_of_positives"] - p["mean_probability"]) for p in curve]
        error = sum(images * abs(gap) for images, gap in gaps) / len(labels)
        per_class[name] = {
            "expected_calibration_error": float(error),
            "brier_score": float(brier_score_loss(labels[:, c], probabilities[:, c], pos_label=1)),
            "reliability": curve,
        }
    macro = {
        figure: float(np.mean([row[figure] for row in per_class.values()]))
        for figure in ("expected_calibration_error", "brier_score")
    }
    return {"macro": macro, "per_class": per_class}


def reliability_curve(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> list[dict[str, Any]]:
    """Mean probability and share of positives per bin of equal width; empty bins left out.

    Shape: both (images,).
    """
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, bins - 1)
    curve = []
    for k in np.unique(which):
        inside = which == k
        point = {"low": float(edges[k]), "high": float(edges[k + 1])}
        point |= {"num_images": int(inside.sum())}
        point |= {"mean_probability": float(probabilities[inside].mean())}
        curve.append(point | {"share_of_positives": float(labels[inside].mean())})
    return curve

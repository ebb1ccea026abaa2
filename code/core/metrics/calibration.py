"""Whether a probability of 0.8 means 80 %: calibration errors, and the scaling that mends them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.metrics import brier_score_loss

from core.metrics.scaling import Scaling, to_logits
from core.metrics.scored_predictions import check_predictions

BINS = 15
# A slope beyond these makes 0/1 or 0.5 of every probability: only separable data ask for it.
SLOPES = (0.05, 20.0)


def calibration_figures(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], bins: int = BINS
) -> dict[str, Any]:
    """Expected calibration error, Brier score and reliability curve of each class, and means.

    ECE = sum over bins of (images in the bin / images) * |share of positives - mean probability|,
    the bins being of equal width.
    Source: Guo 2017 (ECE), Brier 1950.
    Raises:
        InputError: what `classification_metrics` refuses.
    """
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    per_class = {}
    for c, name in enumerate(class_names):
        curve = reliability_curve(labels[:, c], probabilities[:, c], bins)
        gaps = [
            point["num_images"] * abs(point["share_of_positives"] - point["mean_probability"])
            for point in curve
        ]
        per_class[name] = {
            "expected_calibration_error": float(sum(gaps) / len(labels)),
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
    for bin_index in np.unique(which):
        inside = which == bin_index
        curve.append(
            {
                "low": float(edges[bin_index]),
                "high": float(edges[bin_index + 1]),
                "num_images": int(inside.sum()),
                "mean_probability": float(probabilities[inside].mean()),
                "share_of_positives": float(labels[inside].mean()),
            }
        )
    return curve


def fit_scaling(
    labels: np.ndarray, probabilities: np.ndarray, method: Literal["temperature", "platt"]
) -> Scaling:
    """The scaling of highest likelihood on these (validation) images.

    `temperature`: one slope 1/T for all classes, which moves no decision at 0.5. `platt`: slope
    and intercept per class, towards targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2); a class without
    positives or without negatives stays as it is.

    Shape: labels and probabilities (images, classes).
    Source: Guo 2017 (temperature), Platt 1999.
    """
    labels, logits = np.asarray(labels, dtype=np.float64), to_logits(probabilities)
    classes = labels.shape[1]
    slopes, intercepts = np.ones(classes), np.zeros(classes)
    if method == "temperature":
        slope, _ = _fit(logits.ravel(), labels.ravel(), with_intercept=False)
        return Scaling(np.full(classes, slope), intercepts)
    for c in range(classes):
        positives = labels[:, c].sum()
        negatives = len(labels) - positives
        if positives and negatives:
            high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
            targets = np.where(labels[:, c] > 0, high, low)
            slopes[c], intercepts[c] = _fit(logits[:, c], targets, with_intercept=True)
    return Scaling(slopes, intercepts)


def _fit(logits: np.ndarray, targets: np.ndarray, with_intercept: bool) -> tuple[float, float]:
    """Slope and intercept of least cross-entropy: convex, so that any descent finds it."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = weights[0] * logits + weights[1]
        value = -np.mean(targets * log_expit(scaled) + (1 - targets) * log_expit(-scaled))
        residual = expit(scaled) - targets
        return value, np.array([np.mean(residual * logits), np.mean(residual)])

    bounds = [SLOPES, (None, None) if with_intercept else (0.0, 0.0)]
    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500}
    found = minimize(
        loss, np.array([1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B", options=options
    )
    return float(found.x[0]), float(found.x[1])

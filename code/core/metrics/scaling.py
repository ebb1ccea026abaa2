"""Calibrated probabilities from a model's own: the scaling, and how it is fitted.

Without scikit-learn, whose import takes a second: predicting needs the scaling.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, log_expit, logit

EXTREME = 1e-12
# A slope outside of these turns every probability into 0, 1 or 0.5; only separable data lead there.
SLOPES = (0.05, 20.0)


@dataclass(frozen=True)
class Scaling:
    """sigmoid(slope * logit + intercept) per class. Shape: both (classes,)."""

    slopes: np.ndarray
    intercepts: np.ndarray

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities. Shape: (images, classes) in and out."""
        return expit(self.slopes * to_logits(probabilities) + self.intercepts)


def to_logits(probabilities: np.ndarray) -> np.ndarray:
    """The logits behind probabilities, kept finite."""
    return logit(np.clip(np.asarray(probabilities, dtype=np.float64), EXTREME, 1 - EXTREME))


def fit_scaling(
    labels: np.ndarray, probabilities: np.ndarray, method: Literal["temperature", "platt"]
) -> Scaling:
    """The scaling of highest likelihood on these (validation) images.

    `temperature`: one slope 1/T for all classes, which changes no decision at 0.5. `platt`: slope
    and intercept per class, with targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2); a class without
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
    """Slope and intercept of least cross-entropy, which is convex: any descent finds them."""
    from scipy.optimize import minimize  # predicting does without it

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

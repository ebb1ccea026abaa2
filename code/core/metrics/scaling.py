"""Calibrated probabilities from a model's: what predicting needs of the calibration.

Apart from how it is fitted, since scikit-learn takes a second to import.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

EXTREME = 1e-12


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

"""A linear probe: what a logistic regression on frozen features makes of a labelled set."""

import warnings
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader

MOST_ITERATIONS = 500


@dataclass(frozen=True)
class Probe:
    """The labelled strips of a probe, unchanged by views, and every how many epochs it is taken."""

    train: DataLoader
    validation: DataLoader
    every: int


def average_precision_of_probe(
    features: np.ndarray, labels: np.ndarray, new_features: np.ndarray, new_labels: np.ndarray
) -> float | None:
    """Macro average precision on the new images of a logistic regression for each class.

    Features are standardised. A class that either part lacks, or that all images show, is left
    out; None if no class is left.
    Shape: features (images, dimensions), labels (images, classes) of 0 and 1
    """
    # Imported here because it takes a second, which a pretraining without a probe can save.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for own, new in zip(labels.T, new_labels.T, strict=True):
        if len(np.unique(own)) < 2 or len(np.unique(new)) < 2:
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_ITERATIONS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, own)
        found.append(average_precision_score(new, model.decision_function(new_features)))
    return float(np.mean(found)) if found else None

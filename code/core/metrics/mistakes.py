"""The images on which a model is most confident, and wrong."""

import numpy as np

from core.metrics.scored_predictions import Decided

MOST_MISTAKES = 8
"""Images of missed defects, and as many of false alarms, that a report shows."""


def confident_mistakes(found: Decided, missed: bool, most: int = MOST_MISTAKES) -> list[int]:
    """Rows of missed defects or else of false alarms, by |label - probability|, largest first."""
    labels, probabilities, predicted = found
    wrong = labels & ~predicted if missed else predicted & ~labels
    worst = np.where(wrong, np.abs(labels - probabilities), -1).max(axis=1)
    return [int(row) for row in np.argsort(-worst, kind="stable")[:most] if worst[row] >= 0]

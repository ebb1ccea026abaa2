"""The figures of a prediction, under the name by which people look for them here."""

from core.metrics.classification import classification_metrics as compute_metrics

__all__ = ["compute_metrics"]

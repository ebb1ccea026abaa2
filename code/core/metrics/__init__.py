"""Figures, resampling, intervals, thresholds and calibration; without torch."""

from core import imported_when_asked

_HOMES = {
    "Bootstrap": "core.metrics.intervals",
    "EvaluationSettings": "core.metrics.evaluation_settings",
    "bootstrap_intervals": "core.metrics.intervals",
    "choose_thresholds": "core.metrics.thresholds",
    "classification_metrics": "core.metrics.classification",
    "evaluate": "core.metrics.evaluation",
    "paired_differences": "core.metrics.intervals",
}
__all__ = list(_HOMES)
__getattr__ = imported_when_asked(__name__, _HOMES)

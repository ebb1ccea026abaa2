"""Everything that results.json says about how good a model is, from its probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.metrics.calibration import calibration_figures
from core.metrics.classification import classification_metrics
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.intervals import Bootstrap, bootstrap_intervals
from core.metrics.scaling import fit_scaling
from core.metrics.thresholds import choose_thresholds

# Labels and probabilities of a part of the split, both (images, classes).
Scored = tuple[np.ndarray, np.ndarray]


def evaluate(
    validation: Scored,
    test: Scored,
    class_names: Sequence[str],
    settings: EvaluationSettings | None = None,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Figures of both parts at 0.5, of the test part at the chosen thresholds, and calibration.

    Thresholds and scaling are fitted on the validation part alone. Thresholds belong to the
    model's own probabilities, as in predictions.csv; calibrated ones are reported only under
    `calibration`. `groups` are those of the test images, for the intervals.
    """
    settings = settings or EvaluationSettings()
    thresholds = choose_thresholds(*validation, class_names, settings)
    bootstrap = Bootstrap(settings.bootstrap_resamples, settings.confidence, seed, groups)
    return {
        "thresholds": thresholds,
        "threshold_criterion": settings.threshold_criterion,
        "validation": classification_metrics(*validation, class_names),
        "test": with_intervals(*test, class_names, bootstrap=bootstrap),
        "test_at_thresholds": with_intervals(*test, class_names, thresholds, bootstrap),
        "calibration": _calibration(validation, test, class_names, settings.calibration),
    }


def with_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: Any = 0.5,
    bootstrap: Bootstrap | None = None,
) -> dict[str, Any]:
    """The figures, with [low, high] of each under `intervals`, nested alike."""
    prediction = (labels, probabilities, class_names, thresholds)
    return classification_metrics(*prediction) | {
        "intervals": bootstrap_intervals(*prediction, bootstrap)
    }


def _calibration(
    validation: Scored, test: Scored, class_names: Sequence[str], method: str
) -> dict[str, Any]:
    report: dict[str, Any] = {"method": method, "before": calibration_figures(*test, class_names)}
    if method == "none":
        return report
    scaling = fit_scaling(*validation, method)
    fitted = zip(class_names, scaling.slopes, scaling.intercepts, strict=True)
    report["scaling"] = {n: {"slope": float(a), "intercept": float(b)} for n, a, b in fitted}
    report["after"] = calibration_figures(test[0], scaling(test[1]), class_names)
    return report

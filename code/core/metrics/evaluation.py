"""Everything that results.json says about how good a model is, from its probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.metrics.calibration import calibration_figures
from core.metrics.classification import classification_metrics
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.intervals import Bootstrap, bootstrap_intervals
from core.metrics.scaling import Scaling, fit_scaling
from core.metrics.thresholds import ChosenThreshold, choose_thresholds

# Labels and probabilities of a part of the split, both (images, classes).
Scored = tuple[np.ndarray, np.ndarray]


def evaluate(
    validation: Scored,
    test: Scored,
    class_names: Sequence[str],
    settings: EvaluationSettings | None = None,
    seed: int = 0,
    undoing: Scaling | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Figures of both parts at 0.5, of the test part at the chosen thresholds, and calibration.

    `undoing` is the scaling of the method `auto`: all figures and thresholds are those after it, as
    in predictions.csv. The scaling of another method is fitted on the validation part, as the
    thresholds are, and its probabilities are reported only under `calibration`. `groups` are
    those of the test images, for the intervals.
    """
    settings = settings or EvaluationSettings()
    calibration = _calibration(validation, test, class_names, settings.calibration, undoing)
    if undoing is not None:
        validation, test = ((labels, undoing(scores)) for labels, scores in (validation, test))
    chosen = choose_thresholds(*validation, class_names, settings)
    thresholds = {name: threshold.value for name, threshold in chosen.items()}
    bootstrap = Bootstrap(settings.bootstrap_resamples, settings.confidence, seed, groups)
    return {
        "thresholds": thresholds,
        "threshold_criterion": settings.threshold_criterion,
        "threshold_basis": {name: _basis(threshold) for name, threshold in chosen.items()},
        "validation": classification_metrics(*validation, class_names),
        "test": with_intervals(*test, class_names, bootstrap=bootstrap),
        "test_at_thresholds": with_intervals(*test, class_names, thresholds, bootstrap),
        "calibration": calibration,
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


def _basis(threshold: ChosenThreshold) -> dict[str, Any]:
    return {key: getattr(threshold, key) for key in ("positives", "best", "kept", "unmet")}


def _calibration(
    validation: Scored,
    test: Scored,
    class_names: Sequence[str],
    method: str,
    undoing: Scaling | None,
) -> dict[str, Any]:
    if method == "auto" and undoing is None:
        method = "none"
    report: dict[str, Any] = {"method": method, "before": calibration_figures(*test, class_names)}
    if method == "none":
        return report
    scaling = undoing if method == "auto" else fit_scaling(*validation, method)
    fitted = zip(class_names, scaling.slopes, scaling.intercepts, strict=True)
    report["scaling"] = {n: {"slope": float(a), "intercept": float(b)} for n, a, b in fitted}
    report["after"] = calibration_figures(test[0], scaling(test[1]), class_names)
    return report

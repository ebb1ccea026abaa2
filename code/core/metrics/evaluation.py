"""Everything results.json says about how good a model is, from its probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.metrics.calibration import calibration_figures, fit_scaling
from core.metrics.classification import classification_metrics
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.intervals import Bootstrap, bootstrap_intervals
from core.metrics.thresholds import choose_thresholds

Part = tuple[np.ndarray, np.ndarray]


def evaluate(
    validation: Part,
    test: Part,
    class_names: Sequence[str],
    settings: EvaluationSettings | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of both parts at 0.5, of the test part at thresholds from validation, calibration.

    Thresholds and scaling are fitted on the validation part and never see the test part.
    Thresholds belong to the model's own probabilities, which are what predictions.csv holds;
    calibrated ones are reported under `calibration` only.

    Shape: each part is (labels, probabilities), both (images, classes).
    Raises:
        InputError: what `classification_metrics` refuses, or costs that do not fit the classes.
    """
    settings = settings or EvaluationSettings()
    thresholds = choose_thresholds(*validation, class_names, settings)
    bootstrap = Bootstrap(settings.bootstrap_resamples, settings.confidence, seed)
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
    """The figures, and under `intervals` [low, high] of each, nested alike."""
    prediction = (labels, probabilities, class_names, thresholds)
    return classification_metrics(*prediction) | {
        "intervals": bootstrap_intervals(*prediction, bootstrap)
    }


def _calibration(
    validation: Part, test: Part, class_names: Sequence[str], method: str
) -> dict[str, Any]:
    report: dict[str, Any] = {"method": method, "before": calibration_figures(*test, class_names)}
    if method == "none":
        return report
    scaling = fit_scaling(*validation, method)
    labels, probabilities = test
    return report | {
        "scaling": {
            name: {"slope": float(slope), "intercept": float(intercept)}
            for name, slope, intercept in zip(
                class_names, scaling.slopes, scaling.intercepts, strict=True
            )
        },
        "after": calibration_figures(labels, scaling(probabilities), class_names),
    }

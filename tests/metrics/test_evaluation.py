"""What results.json says: the parts fit together, and the test part decides nothing."""

import json

import numpy as np
import pytest
from simulated_predictions import CLASS_NAMES, Population

from core.errors import InputError
from core.files.writing import to_json
from core.metrics.calibration import calibration_figures
from core.metrics.classification import classification_metrics
from core.metrics.evaluation import evaluate
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.intervals import Bootstrap, bootstrap_intervals

QUICK = {"bootstrap_resamples": 100}


@pytest.fixture(scope="module")
def parts():
    generator = np.random.default_rng(0)
    return Population().draw(300, generator), Population().draw(200, generator)


def test_figures_are_those_of_the_parts(parts):
    validation, test = parts
    report = evaluate(validation, test, CLASS_NAMES, EvaluationSettings(**QUICK), seed=3)
    assert list(report) == [
        "thresholds",
        "threshold_criterion",
        "threshold_basis",
        "validation",
        "test",
        "test_at_thresholds",
        "calibration",
    ]
    assert report["validation"] == classification_metrics(*validation, CLASS_NAMES)
    intervals = report["test"].pop("intervals")
    assert report["test"] == classification_metrics(*test, CLASS_NAMES)
    assert intervals == bootstrap_intervals(*test, CLASS_NAMES, bootstrap=Bootstrap(100, seed=3))
    assert report["test_at_thresholds"]["threshold"] == report["thresholds"]
    assert report["threshold_criterion"] == "f1"
    assert report["calibration"] == {
        "method": "none",
        "before": calibration_figures(*test, CLASS_NAMES),
    }


def test_the_test_part_decides_neither_thresholds_nor_scaling(parts):
    validation, test = parts
    labels, probabilities = test
    settings = EvaluationSettings(**QUICK, calibration="platt")
    one = evaluate(validation, test, CLASS_NAMES, settings)
    other = evaluate(validation, (1 - labels, probabilities), CLASS_NAMES, settings)
    assert one["thresholds"] == other["thresholds"]
    assert one["calibration"]["scaling"] == other["calibration"]["scaling"]
    assert one["test"]["macro"] != other["test"]["macro"]


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_calibration_is_reported_before_and_after(parts, method):
    settings = EvaluationSettings(**QUICK, calibration=method)
    report = evaluate(*parts, CLASS_NAMES, settings)["calibration"]
    assert report["method"] == method
    assert list(report["scaling"]) == CLASS_NAMES
    before, after = report["before"]["macro"], report["after"]["macro"]
    assert after["brier_score"] < before["brier_score"]


def test_the_report_is_strict_json(parts):
    validation, (labels, probabilities) = parts
    labels = labels.copy()
    labels[:, 1] = 0
    report = evaluate(validation, (labels, probabilities), CLASS_NAMES, EvaluationSettings(**QUICK))
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text) == to_json(report)
    assert report["test"]["per_class"]["defect_2"]["auroc"] is None
    assert report["test"]["intervals"]["per_class"]["defect_2"]["auroc"] is None


def test_bad_probabilities_are_refused(parts):
    validation, (labels, probabilities) = parts
    with pytest.raises(InputError, match=r"expected a number in \[0, 1\]"):
        evaluate(validation, (labels, probabilities * 2), CLASS_NAMES)

"""Every key of `evaluation.*` changes what is reported."""

from functools import lru_cache

import numpy as np
import pytest

from core.metrics.evaluation import evaluate
from core.metrics.evaluation_settings import EvaluationSettings

# For each key a value, and the keys without which it has nothing to act on.
EFFECTS = {
    "threshold_criterion": ("cost", {}),
    "threshold_shrinkage": (200.0, {}),
    "min_precision": (0.5, {"threshold_criterion": "recall_at_precision"}),
    "min_recall": (0.5, {"threshold_criterion": "precision_at_recall"}),
    "cost_miss": (0.2, {"threshold_criterion": "cost"}),
    "cost_false_alarm": (20.0, {"threshold_criterion": "cost"}),
    "calibration": ("platt", {}),
    "bootstrap_resamples": (300, {}),
    "confidence": (0.8, {}),
}


@lru_cache
def report(**settings: object) -> dict:
    generator = np.random.default_rng(0)
    parts = []
    for _ in range(2):
        labels = (generator.random((200, 2)) < 0.3).astype(int)
        logits = 1.5 * labels - 1 + generator.normal(size=labels.shape)
        parts.append((labels, 1 / (1 + np.exp(-logits))))
    settings = {"bootstrap_resamples": 100, **settings}
    return evaluate(*parts, ("pit", "crack"), EvaluationSettings(**settings), seed=0)


def test_every_key_is_tried_below():
    assert set(EFFECTS) == set(EvaluationSettings.model_fields)


def test_the_same_settings_report_the_same():
    assert report.__wrapped__() == report.__wrapped__()


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_has_an_effect(key):
    value, needed = EFFECTS[key]
    assert report(**needed, **{key: value}) != report(**needed)

"""Figures, resampling, intervals, thresholds and calibration; without torch.

Each name is imported when it is asked for: not everything needs scikit-learn.
"""

import importlib
from typing import Any

_FILES = {
    "Bootstrap": "intervals",
    "EvaluationSettings": "evaluation_settings",
    "bootstrap_intervals": "intervals",
    "choose_thresholds": "thresholds",
    "classification_metrics": "classification",
    "evaluate": "evaluation",
    "paired_differences": "intervals",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)

"""Predicting with a trained model: from images to rows of probabilities and decisions."""

from importlib import import_module
from typing import Any

# Imported when they are asked for, as in `core.data`.
_HOMES = {"Predicted": "arrays", "open_model": "prediction", "predict_array": "arrays"}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

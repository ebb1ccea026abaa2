"""Augmentation of training images; each transform can be switched on and off."""

from importlib import import_module
from typing import Any

# Imported when they are asked for: the settings need no albumentations.
_HOMES = {"AugmentationPipeline": "pipelines", "AugmentationSettings": "settings"}
__all__ = ["AugmentationPipeline", "AugmentationSettings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

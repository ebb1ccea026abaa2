"""Augmentation of training images; each transform can be switched on and off."""

from core import imported_when_asked

_HOMES = {
    "AugmentationPipeline": "core.augmentation.pipelines",
    "AugmentationSettings": "core.augmentation.settings",
}
__all__ = list(_HOMES)
__getattr__ = imported_when_asked(__name__, _HOMES)

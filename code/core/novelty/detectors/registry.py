"""The registry of detectors: what `detector.name` can choose."""

from core.novelty.detectors.base import Detector
from core.registry import Registry

_registry: Registry[Detector] = Registry(base_class=Detector, name="detector")


def get_registry() -> Registry[Detector]:
    """The one registry of detectors."""
    return _registry

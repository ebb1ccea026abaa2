"""The registry of bottlenecks."""

from core.novelty.bottlenecks.base import Bottleneck
from core.registry import Registry

_registry: Registry[Bottleneck] = Registry(base_class=Bottleneck, name="bottleneck")


def get_registry() -> Registry[Bottleneck]:
    """The one registry of bottlenecks."""
    return _registry

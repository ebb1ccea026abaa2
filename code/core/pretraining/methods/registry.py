"""The registry of methods: what `method.name` can choose."""

from core.pretraining.methods.base import Method
from core.registry import Registry

_registry: Registry[Method] = Registry(base_class=Method, name="method")


def get_registry() -> Registry[Method]:
    """The one registry of methods."""
    return _registry

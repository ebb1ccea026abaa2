"""The registry of losses."""

from collections.abc import Callable
from typing import Any

from core.losses.base import BaseLoss
from core.registry import Registry


class LossRegistry(Registry[BaseLoss]):
    """Losses by name; each class knows the name it is registered under."""

    def register(
        self, name: str | None = None, component: type[BaseLoss] | None = None, **options: Any
    ) -> Callable[[type[BaseLoss]], type[BaseLoss]] | type[BaseLoss]:
        """As `Registry.register`."""

        def add(cls: type[BaseLoss]) -> type[BaseLoss]:
            super(LossRegistry, self).register(name, cls, **options)
            cls.registered_name = name or cls.__name__
            return cls

        return add if component is None else add(component)

    def list_losses(self) -> list[str]:
        """The names of all losses, sorted."""
        return self.list()


_registry = LossRegistry(base_class=BaseLoss, name="loss")


def get_registry() -> LossRegistry:
    """The one registry of losses."""
    return _registry

"""The registry of losses."""

from core.losses.base import BaseLoss
from core.registry import Entry, Registry


class LossRegistry(Registry[BaseLoss]):
    """Losses by name; each class knows the name it is registered under."""

    def list_losses(self) -> list[str]:
        """The names of all losses, sorted."""
        return self.list()

    def _add(self, name: str, entry: Entry[BaseLoss], force: bool) -> None:
        super()._add(name, entry, force)
        entry.component.registered_name = name


_registry = LossRegistry(base_class=BaseLoss, name="loss")


def get_registry() -> LossRegistry:
    """The one registry of losses."""
    return _registry

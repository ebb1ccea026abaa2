"""The registry of models: what `model.name` can choose."""

from torch import nn

from core.registry import Registry


class ModelRegistry(Registry[nn.Module]):
    """Models by name: images (batch, 1 or 3, height, width) in, logits (batch, classes) out."""

    def list_models(self) -> list[str]:
        """The names, sorted."""
        return self.list()


_registry = ModelRegistry(nn.Module, name="model")


def get_registry() -> ModelRegistry:
    """The one registry of models."""
    return _registry

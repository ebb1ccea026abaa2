"""Models. Importing this room registers every model in it: a new model is one new file here."""

import importlib
import pkgutil

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm

from core.models.output import logits_of
from core.models.parameters import NumClasses, without_weights
from core.models.registry import get_registry

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["NumClasses", "get_registry", "logits_of", "without_weights"]

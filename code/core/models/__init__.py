"""Models. Importing this room registers every model in it: a new model is one new file here."""

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm

from core.files.importing import import_files
from core.models.output import logits_of
from core.models.parameters import NumClasses, without_weights
from core.models.registry import get_registry

import_files(__name__, __path__, get_registry())

__all__ = ["NumClasses", "get_registry", "logits_of", "without_weights"]

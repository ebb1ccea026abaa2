"""Ways to learn without labels. Importing this registers each: a new one is one new file here."""

from core.files.importing import import_files
from core.pretraining.methods.base import Method
from core.pretraining.methods.registry import get_registry

import_files(__name__, __path__, get_registry())

__all__ = ["Method", "get_registry"]

"""Bottlenecks of autoencoders. Importing this folder registers every one in it."""

from core.files.importing import import_files
from core.novelty.bottlenecks.base import Bottleneck
from core.novelty.bottlenecks.registry import get_registry

import_files(__name__, __path__, get_registry())

__all__ = ["Bottleneck", "get_registry"]

"""Detectors of novelty. Importing this registers each: a new one is one new file here."""

from core.files.importing import import_files
from core.novelty.detectors.base import Detector, OnePassDetector
from core.novelty.detectors.registry import get_registry

import_files(__name__, __path__, get_registry())

__all__ = ["Detector", "OnePassDetector", "get_registry"]

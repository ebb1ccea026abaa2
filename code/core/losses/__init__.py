"""Losses. Importing this room registers every loss in it: a new loss is one new file here."""

import importlib
import pkgutil

from core.losses.base import BaseLoss
from core.losses.bce_loss import BCEWithLogits
from core.losses.factory import get_loss
from core.losses.focal_loss import FocalLoss
from core.losses.registry import get_registry

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["BCEWithLogits", "BaseLoss", "FocalLoss", "get_loss", "get_registry"]

"""Losses. Importing this room registers every loss in it: a new loss is one new file here."""

import importlib
import pkgutil

from core.losses.asymmetric_loss import AsymmetricLoss
from core.losses.base import BaseLoss, Reduction
from core.losses.bce_loss import BCEWithLogits
from core.losses.boundary_loss import BoundaryLoss
from core.losses.compound_loss import CompoundLoss
from core.losses.elementwise import reduced
from core.losses.factory import get_loss
from core.losses.focal_loss import FocalLoss
from core.losses.overlap_losses import DiceLoss, GeneralizedDiceLoss, TverskyLoss
from core.losses.registry import get_registry
from core.losses.softmax_focal_loss import SoftmaxFocalLoss

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "AsymmetricLoss",
    "BCEWithLogits",
    "BaseLoss",
    "BoundaryLoss",
    "CompoundLoss",
    "DiceLoss",
    "FocalLoss",
    "GeneralizedDiceLoss",
    "Reduction",
    "SoftmaxFocalLoss",
    "TverskyLoss",
    "get_loss",
    "get_registry",
    "reduced",
]

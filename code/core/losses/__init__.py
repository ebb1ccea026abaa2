"""Losses. Importing this room registers every loss in it: a new loss is one new file here."""

from core.files.importing import import_files
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

import_files(__name__, __path__, get_registry())

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

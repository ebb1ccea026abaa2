"""Losses of embeddings, (batch, dimensions) in and a scalar out."""

from core.pretraining.losses.barlow_twins import BarlowTwinsLoss
from core.pretraining.losses.base import BaseLoss
from core.pretraining.losses.clip import ClipLoss
from core.pretraining.losses.info_nce import InfoNCELoss
from core.pretraining.losses.nt_xent import NTXentLoss
from core.pretraining.losses.vicreg import VICRegLoss

__all__ = [
    "BarlowTwinsLoss",
    "BaseLoss",
    "ClipLoss",
    "InfoNCELoss",
    "NTXentLoss",
    "VICRegLoss",
]

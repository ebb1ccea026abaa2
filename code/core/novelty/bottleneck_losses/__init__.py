"""The loss of an autoencoder: its reconstruction, and the terms of its bottleneck."""

from core.novelty.bottleneck_losses.factory import (
    AutoencoderLoss,
    create_loss_modules_from_bottleneck,
)
from core.novelty.bottleneck_losses.reconstruction import ReconstructionLoss
from core.novelty.bottleneck_losses.settings import AutoencoderLossSettings, check_loss_settings
from core.novelty.bottleneck_losses.terms import BottleneckLosses, ValueLoss

__all__ = [
    "AutoencoderLoss",
    "AutoencoderLossSettings",
    "BottleneckLosses",
    "ReconstructionLoss",
    "ValueLoss",
    "check_loss_settings",
    "create_loss_modules_from_bottleneck",
]

"""Calls that people write as they know them from elsewhere, each as it stands."""

import pytest
import torch
from torch import nn

from core.losses import CompoundLoss, DiceLoss, FocalLoss, TverskyLoss, get_registry

VOLUMES = torch.zeros(2, 3, 16, 16, 16), torch.ones(2, 16, 16, 16, dtype=torch.long)
MASKS = torch.randn(2, 4, 8, 20), torch.ones(2, 4, 8, 20)
dice = DiceLoss()

LOSS_CALLS = [
    'get_registry().get("focal_loss", num_classes=4, alpha="dynamic", gamma=2.0)(*MASKS)',
    'get_registry().get("bce_with_logits", num_classes=4)(*MASKS)',
    'FocalLoss(num_classes=4, alpha="dynamic", gamma=2.0)(*MASKS)',
    "FocalLoss(alpha=0.25, gamma=2.0)(*VOLUMES)",
    "TverskyLoss(alpha=0.3, beta=0.7, smooth=1e-6)(*MASKS)",
    "CompoundLoss([nn.BCEWithLogitsLoss(), dice], learnable=True)(*MASKS)",
]
NAMES = {"CompoundLoss": CompoundLoss, "FocalLoss": FocalLoss, "TverskyLoss": TverskyLoss,
         "MASKS": MASKS, "VOLUMES": VOLUMES, "dice": dice, "get_registry": get_registry,
         "nn": nn}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*from the first batch")
@pytest.mark.parametrize("call", LOSS_CALLS)
def test_losses(call):
    value = eval(call, NAMES)
    assert value.shape == ()
    assert value > 0

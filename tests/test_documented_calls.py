"""Calls that people write as they know them from elsewhere, each as it stands."""

import numpy as np
import pytest
import torch
from torch import nn

from core.losses import CompoundLoss, DiceLoss, FocalLoss, TverskyLoss, get_registry
from core.training.metrics import compute_metrics

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


def test_metrics():
    labels, probabilities = [[0, 1], [1, 0], [0, 0]], [[0.2, 0.9], [0.7, 0.1], [0.6, 0.3]]
    figures = compute_metrics(np.array(labels), np.array(probabilities), ["pit", "crack"])
    assert figures["per_class"]["pit"]["precision"] == 0.5
    assert figures["macro"]["f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_names_where_people_look_for_them():
    from core.analysis import compare_results, load_json
    from core.augmentation import AugmentationPipeline
    from core.data import StratifiedSplitter
    from core.training.callbacks import EarlyStopping, ModelCheckpoint, TensorBoard

    AugmentationPipeline({"horizontal_flip": 0.5, "rotation": {"degrees": 15}}).build()
    assert EarlyStopping(patience=15).on_epoch_end({"epoch": 16}, best_epoch=1)
    for name in (compare_results, load_json, StratifiedSplitter, ModelCheckpoint, TensorBoard):
        assert callable(name)

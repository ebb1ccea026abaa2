"""The learner and the batch of a training by masks, as `supervision=masks` has it."""

from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from benchmarks.options import Options
from core.command.config import TrainConfig, check_config, fill_config_store
from core.command.help import store_help
from core.losses.base import BaseLoss
from core.losses.factory import get_loss
from core.models.mask_head import mask_size

_CONFIG_DIR = Path(__file__).resolve().parents[2] / "config"
# Height and width of a defect over those of the strip.
_DEFECT_SHARE = 8


def mask_loss(targets: torch.Tensor) -> tuple[BaseLoss, float]:
    """The loss of masks of `config/supervision/masks.yaml`, and its weight.

    Shape: the masks whose cells it is told of, (batch, C, height, width)
    """
    values = dict(_supervised_by_masks().mask_loss)
    weight = values.pop("weight")
    loss = get_loss(values, masks=True)
    # At least one cell of each class: a batch need not show them all.
    counts = targets.sum((0, 2, 3)).clamp(min=1).tolist()
    cells = targets.numel() // targets.shape[1]
    loss.set_class_statistics(counts, cells, source="train_split_masks")
    return loss, weight


def mask_targets(options: Options, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a batch holds of masks: a defect in the corner of each strip, of each of its classes.

    Shape: labels (batch, C)
    """
    height, width = mask_size(options.image_size)
    targets = torch.zeros(*labels.shape, height, width, dtype=torch.uint8)
    shown = labels.to(torch.uint8).cpu()[:, :, None, None]
    targets[:, :, : height // _DEFECT_SHARE, : width // _DEFECT_SHARE] = shown
    return {"mask_targets": targets, "has_masks": torch.ones(len(labels), dtype=torch.bool)}


def _supervised_by_masks() -> TrainConfig:
    fill_config_store()
    store_help()
    with initialize_config_dir(str(_CONFIG_DIR), version_base="1.3"):
        return check_config(compose("train_config", ["supervision=masks"]))

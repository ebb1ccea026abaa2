"""Masks in a training: the head, its loss, and the masks in the samples."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.data.dataset import MaskRequest
from core.data.label_table import LabelTable
from core.data.mask_targets import MaskTargets, measure_pixel_shares
from core.data.resized_masks import check_resized_masks
from core.data.weak_supervision import choose_known_masks
from core.errors import InputError
from core.losses.base import BaseLoss
from core.models.mask_head import MASK_STRIDE

log = logging.getLogger(__name__)


def usable_model(model: Mapping[str, Any], table: LabelTable) -> dict[str, Any]:
    """The model's values; without its mask head, and with a warning, if the data has no masks."""
    if not model.get("mask_head") or table.masks is not None:
        return dict(model)
    log.warning(
        "model.mask_head=true: %s has image-level labels only: trained without the mask head",
        table.source,
    )
    return {**model, "mask_head": False, "fusion": None}


def check_mask_keys(config: TrainConfig) -> None:
    """Raise InputError where keys about masks do not fit each other, whatever the data."""
    model, mask_loss = config.model, config.mask_loss
    if mask_loss is not None and not model.get("mask_head"):
        remedy = "give model.mask_head=true as well"
        if "mask_head" not in model:
            remedy = "leave the loss out, or choose a network of timm's with model.mask_head=true"
        raise InputError(
            f"mask_loss.type={mask_loss['type']}: the model predicts no masks: {remedy}"
        )
    if model.get("mask_head") and model.get("fusion") is False and mask_loss is None:
        raise InputError(
            "model.fusion=false: nothing would train the mask head: give mask_loss.type as well, "
            "or leave out model.mask_head"
        )


def check_missing_masks(config: TrainConfig, table: LabelTable) -> None:
    """Raise InputError where masks may be missing, and there are none at all."""
    if config.data.missing_masks != "error" and table.masks is None:
        raise InputError(
            f"data.missing_masks={config.data.missing_masks}: has no effect, as {table.source} has "
            "image-level labels only: leave it out"
        )


def check_mask_supervision(
    config: TrainConfig, table: LabelTable, pipeline: AugmentationPipeline
) -> None:
    """Raise InputError where masks are missing for what needs them, or a loss for the mask head.

    And where a resize would erase every mask of a class.
    """
    model, mask_loss = config.model, config.mask_loss
    if mask_loss is not None and table.masks is None:
        raise InputError(
            f"mask_loss.type={mask_loss['type']}: needs masks, but {table.source} has image-level "
            "labels only: leave mask_loss out, or give train.csv with run-length codes or ann/"
        )
    check_mask_keys(config)
    if pipeline.needs_masks and table.masks is None:
        raise InputError(
            f"augmentation.blackout.probability={config.augmentation.blackout.probability}: paints "
            f"out defects where their masks are, but {table.source} has image-level labels only: "
            "give data with masks, or set augmentation.blackout=null"
        )
    reads_masks = mask_loss is not None or (pipeline.reads_masks and table.masks is not None)
    if reads_masks or model.get("mask_head"):
        check_resized_masks(table)
    if config.data.mask_fraction < 1 and not reads_masks:
        raise InputError(
            f"data.mask_fraction={config.data.mask_fraction}: no loss reads masks, nor does "
            "the augmentation: give mask_loss.type, or leave it out"
        )


def known_masks(config: TrainConfig, table: LabelTable, train: np.ndarray) -> np.ndarray:
    """The images whose masks may be used: `data.mask_fraction` of those in `train` that have all
    of theirs; bool (images,).

    Images with a label flipped on purpose are left out: their masks would reveal the flip. Raises
    InputError where a mask loss is left without any image.
    """
    share = config.data.mask_fraction
    whole = train[table.has_masks()[train]] if table.masks is not None else train
    known = choose_known_masks(table.labels, whole, share, config.experiment.seed)
    known[[row for row, _, _ in table.flips]] = False
    if config.mask_loss is not None and not known.any():
        raise InputError(
            f"data.mask_fraction={share}: leaves none of the {len(train)} training images its "
            "masks, which mask_loss needs: give a larger share, or leave out mask_loss"
        )
    return known


def pixel_shares_of(
    model: nn.Module, config: TrainConfig, table: LabelTable, train: np.ndarray
) -> np.ndarray | None:
    """The share of mask cells per class, also given to the mask head; None without a head."""
    known, head = known_masks(config, table, train), getattr(model, "mask_head", None)
    if head is None:
        return None
    shares = measure_pixel_shares(table, np.flatnonzero(known), MASK_STRIDE)
    head.set_pixel_shares(shares.tolist())
    return shares


def mask_request(
    config: TrainConfig,
    table: LabelTable,
    mask_loss: BaseLoss | None,
    train: np.ndarray | None = None,
) -> MaskRequest | None:
    """The masks that samples hold: targets if there is a mask loss, whole masks for scoring, and,
    for the training images in `train`, which masks are known.
    """
    if table.masks is None:
        return None
    targets = None
    if mask_loss is not None:
        maker = mask_loss.distance_maps_of if mask_loss.uses_distance_maps else None
        targets = MaskTargets(MASK_STRIDE, maker)
    if train is None:
        return MaskRequest(whole=True, targets=targets) if config.model.get("mask_head") else None
    return MaskRequest(targets=targets, known=known_masks(config, table, train))

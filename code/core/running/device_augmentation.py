"""Augmentation on the device: what the loader leaves to it, and what it makes of a batch."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from core.augmentation.device import DeviceAugmentation, Strips
from core.augmentation.draw import Draw
from core.augmentation.pipelines import AugmentationPipeline, DrawnTransform
from core.command.config import TrainConfig
from core.data.dataset import MaskRequest
from core.data.mask_targets import max_pooled_batch
from core.errors import InputError


def augments_on_device(
    config: TrainConfig,
    pipeline: AugmentationPipeline,
    mask_loss: nn.Module | None,
    device: torch.device,
) -> bool:
    """Whether the device transforms the training images.

    Raises InputError where it is asked for by `true` and something needs transformed images, or
    their masks, in the loader.
    """
    wanted = config.runtime.augment_on_device
    if not wanted or pipeline.is_empty or (wanted == "auto" and device.type != "cuda"):
        return False
    problem = _needed_in_loader(pipeline, mask_loss)
    if problem and wanted != "auto":
        raise InputError(
            f"runtime.augment_on_device=true: {problem} in the loader, where images are not "
            "transformed then: give auto or false, or leave it out"
        )
    return problem is None


def _needed_in_loader(pipeline: AugmentationPipeline, mask_loss: nn.Module | None) -> str | None:
    if pipeline.batch_transform is not None:
        return "augmentation.mixup and augmentation.cutmix mix images"
    if mask_loss is not None and mask_loss.uses_distance_maps:
        return f"mask_loss.type={mask_loss.registered_name} computes distance maps"
    return None


class AugmentedOnDevice:
    """Finishes the batches of a loader whose data set has `transform` and `masks`.

    A batch then holds what it holds without this, with its images, labels and mask targets on the
    device. `has_masks` stays where it is.
    """

    def __init__(
        self, pipeline: AugmentationPipeline, masks: MaskRequest | None, device: torch.device
    ) -> None:
        self.transform = DrawnTransform(pipeline)
        targets = masks and masks.targets
        self._stride = targets.stride if targets else None
        whole = masks is not None and (self.transform.uses_masks or targets is not None)
        self.masks = masks and replace(masks, whole=whole, targets=None)
        self._augmentation = DeviceAugmentation(pipeline.settings)
        self._device = device

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = dict(batch)
        masks, known = batch.pop("masks", None), batch.pop("has_masks", None)
        strips = Strips(
            self._moved(batch["image"]),
            self._moved(batch["labels"]),
            None if masks is None else self._moved(masks),
            None if known is None else self._moved(torch.as_tensor(known)),
        )
        draw = Draw(*map(self._moved, batch.pop("draw")))
        strips = self._augmentation(strips, draw)
        batch |= {"image": strips.images, "labels": strips.labels}
        if self._stride:
            targets = max_pooled_batch(strips.masks, self._stride)
            batch |= {"mask_targets": targets, "has_masks": known}
        return batch

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)

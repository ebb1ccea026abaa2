"""What was drawn for a strip and is left to the device, and the loader's part of it."""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from core.augmentation.pipelines import AugmentationPipeline


class Draw(NamedTuple):
    """What happens to a strip: arrays for one, in a batch tensors with one more dimension.

    `blackout` bool (C,): the classes to paint over with the mean grey. `shift`: where the shift is
    between its farthest left, 0, and right, 1; NaN is no shift. `flips` bool (2,): left to right,
    top to bottom. `light` uint8 (256,): the new grey value of each grey value.
    """

    blackout: np.ndarray
    shift: float
    flips: np.ndarray
    light: np.ndarray


def unchanged(num_classes: int) -> Draw:
    """Leaves a strip as it is."""
    return Draw(
        np.zeros(num_classes, bool), np.nan, np.zeros(2, bool), np.arange(256, dtype=np.uint8)
    )


class DrawnTransform:
    """The transform of a loader that leaves to the device all that `DeviceAugmentation` can do.

    It hands strips on as they are, with their `Draw`. A strip for which something else was drawn
    as well, such as a rotation, is transformed here, and its `Draw` leaves it unchanged. So each
    strip becomes what the pipeline alone makes of it.
    """

    needs_masks: ClassVar[bool] = False

    def __init__(self, pipeline: "AugmentationPipeline") -> None:
        self.pipeline = pipeline
        self.uses_masks = pipeline.uses_masks

    def __call__(
        self,
        image: np.ndarray,
        masks: np.ndarray | None,
        labels: np.ndarray,
        *,
        epoch: int,
        index: int,
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, Draw]:
        draw = self.pipeline.drawn(masks, len(labels), epoch=epoch, index=index)
        if draw is not None:
            return image, masks, labels, draw
        strip = self.pipeline(image, masks, labels, epoch=epoch, index=index)
        return *strip, unchanged(len(labels))

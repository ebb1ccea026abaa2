"""What was drawn for a strip and is left to the device."""

from typing import NamedTuple

import numpy as np


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

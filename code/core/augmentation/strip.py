"""A training image on its way through the pipeline."""

from typing import NamedTuple

import numpy as np


class Strip(NamedTuple):
    """Image uint8 (H, W) or (H, W, 3), masks uint8 (C, H, W) or None where they are unknown, and
    labels float32 (C,).
    """

    image: np.ndarray
    masks: np.ndarray | None
    labels: np.ndarray


def visible_labels(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """`labels` with 0 for every class that had pixels before and has none after.

    Shape: labels (C,), masks before and after (C, H, W).
    """
    # The maximum of bytes is ten times as fast as `any`.
    gone = (before.max(axis=(1, 2)) > 0) & (after.max(axis=(1, 2)) == 0)
    return np.where(gone, np.float32(0), labels)

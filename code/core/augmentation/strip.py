"""A training image on its way through the pipeline, its steel, and the labels of what it shows."""

from typing import NamedTuple

import numpy as np

# Over 100 real strips the border's pixels stay below this grey value, and steel is mostly above.
DARKEST_STEEL = 25
STEEL_SHARE = 0.1


class Strip(NamedTuple):
    """Image uint8 (H, W[, 3]), masks uint8 (C, H, W) or None if unknown, labels float32 (C,)."""

    image: np.ndarray
    masks: np.ndarray | None
    labels: np.ndarray


def visible_labels(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Labels (C,) with 0 for each class whose mask (C, H, W) had pixels and has none after."""
    # The maximum of bytes is ten times as fast as `any`.
    gone = (before.max(axis=(1, 2)) > 0) & (after.max(axis=(1, 2)) == 0)
    return np.where(gone, np.float32(0), labels)


def steel_columns(image: np.ndarray, black: int = 0) -> tuple[int, int]:
    """First column of steel and the one after the last; (0, 0) for an image that is all black.

    Real strips end in black at their left or right. `black` is the grey value of the border's
    darkest pixel, where brightness has been changed. Shape: image uint8 (H, W) or (H, W, 3).
    """
    bright = image >= min(255, black + DARKEST_STEEL)
    if image.ndim == 3:
        bright = bright.any(axis=2)
    steel = np.flatnonzero(bright.mean(axis=0) > STEEL_SHARE)
    return (int(steel[0]), int(steel[-1]) + 1) if steel.size else (0, 0)

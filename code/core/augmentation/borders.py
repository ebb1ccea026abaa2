"""Where the steel is: real strips end in black at their left or right."""

import numpy as np

# Over 100 real strips the border's pixels stay below this grey value, and steel is mostly above.
_DARKEST_STEEL = 25
_STEEL_SHARE = 0.1


def steel_columns(image: np.ndarray, black: int = 0) -> tuple[int, int]:
    """First column of steel and the one after the last; (0, 0) for an image that is all black.

    `black` is the grey value of the border's darkest pixel, where brightness has been changed.

    Shape: image uint8 (H, W) or (H, W, 3).
    """
    bright = image >= min(255, black + _DARKEST_STEEL)
    if image.ndim == 3:
        bright = bright.any(axis=2)
    steel = np.flatnonzero(bright.mean(axis=0) > _STEEL_SHARE)
    return (int(steel[0]), int(steel[-1]) + 1) if steel.size else (0, 0)

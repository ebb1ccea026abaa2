"""How clearly a change shows against the strip's own noise, and where it does."""

import cv2
import numpy as np

# Of the noise: a smaller change is no part of the mask, and is not painted.
_LEAST_CHANGE = 0.5
_FEWEST_PIXELS = 4
_CLOSING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over channels and 3x3 pixels, (H, W, C) -> (H, W): grain of single pixels shows less."""
    grey = values[..., 0] if values.shape[2] == 1 else values.mean(axis=2)
    return cv2.blur(grey, (3, 3), borderType=cv2.BORDER_REFLECT)


def noise_level(steel: np.ndarray) -> float:
    """Deviation of the grey values of steel (H, W, C), by medians, so that glints do not count."""
    step = 2 if min(steel.shape[:2]) > 32 else 1
    grey = smoothed(steel)[::step, ::step]
    return 1.4826 * float(np.median(np.abs(grey - np.median(grey))))


def visible_part(change: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
    """The mask of a change where it shows, and its contrast: its size there, in units of the noise.

    Small holes are closed. The contrast of a change that shows nowhere is 0.

    Shape: change (H, W, C) -> bool (H, W), float
    """
    size = np.abs(smoothed(change))
    shown = (size > _LEAST_CHANGE * noise).astype(np.uint8)
    shown = cv2.morphologyEx(shown, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    shown = cv2.morphologyEx(shown, cv2.MORPH_CLOSE, _CLOSING)
    mask = shown.astype(bool) & change.any(axis=2)
    if np.count_nonzero(mask) < _FEWEST_PIXELS:
        return np.zeros_like(mask), 0.0
    return mask, float(np.sqrt(np.mean(np.square(size[mask])))) / noise

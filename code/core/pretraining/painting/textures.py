"""Pieces of steel cut from strips, turned and resized, as the stuff of painted defects."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from core.pretraining.painting.steel import steel_share

_TRIES = 4
# What may be dark of a piece: holes and stains, but no part of the black beside the steel.
_LEAST_STEEL = 0.98


def cut_piece(
    strips: Sequence[np.ndarray],
    size: tuple[int, int],
    zoom: tuple[float, float],
    turn: float,
    generator: np.random.Generator,
) -> np.ndarray | None:
    """A piece of a random strip, enlarged by `zoom`, turned by up to `turn`, perhaps mirrored.

    None where a few random places are off the steel.

    Shape: strips (H, W, C), each of its own H and W -> float32 (*size, C)
    Units: turn in radians
    """
    for _ in range(_TRIES):
        strip = strips[generator.integers(len(strips))]
        matrix = _placement(size, strip.shape[:2], zoom, turn, generator)
        piece = cv2.warpAffine(
            strip,
            matrix,
            (size[1], size[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        ).reshape(*size, -1)
        if steel_share(piece, strip) >= _LEAST_STEEL:
            return piece.astype(np.float32)
    return None


def _placement(
    size: tuple[int, int],
    extent: tuple[int, int],
    zoom: tuple[float, float],
    turn: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """The affine map from a piece's pixels to those of its strip, float64 (2, 3)."""
    scale = math.exp(-generator.uniform(math.log(zoom[0]), math.log(zoom[1])))
    angle = generator.uniform(-turn, turn)
    mirror = generator.choice([-1.0, 1.0])
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    matrix = np.array([[mirror * cosine, -sine, 0.0], [mirror * sine, cosine, 0.0]])
    # The piece's centre, x before y, and where it lies in the strip: inside, where that fits.
    centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    reach = np.abs(matrix[:, :2]) @ centre
    for axis, length in enumerate((extent[1], extent[0])):
        margin = min(reach[axis], (length - 1) / 2)
        place = generator.uniform(margin, length - 1 - margin)
        matrix[axis, 2] = place - matrix[axis, :2] @ centre
    return matrix

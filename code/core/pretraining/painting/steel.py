"""Where a strip shows steel: black areas beside it get no defects and lend no texture."""

import cv2
import numpy as np

# Blocks of the black border of 100 real strips have means of at most 21 of 255, those of steel are
# nearly all above. A dark block of steel that is missed only gets no defect.
_DARKEST_STEEL = 25 / 255
# Height and width of the strip in blocks, at least, and a block's longest side in pixels.
_BLOCKS = 16
_LONGEST_BLOCK = 8


def largest_grey(strip: np.ndarray) -> int:
    """The brightest value that the strip's camera gives: 255, or that of its 10, 12 or 16 bits."""
    if strip.dtype == np.uint8:
        return 255
    return (1 << max(8, int(strip.max()).bit_length())) - 1


def darkest_steel(strip: np.ndarray) -> float:
    """The grey value below which an area of the strip is taken for the black beside the steel."""
    return _DARKEST_STEEL * largest_grey(strip)


def steel_share(piece: np.ndarray, strip: np.ndarray) -> float:
    """The share of a piece (H, W, C) of the strip that is steel."""
    smooth = cv2.blur(piece.max(axis=2), (5, 5), borderType=cv2.BORDER_REFLECT)
    return float((smooth >= darkest_steel(strip)).mean())


def steel_mask(strip: np.ndarray) -> np.ndarray:
    """True on steel, and nowhere within a block of what is black.

    Shape: strip (H, W, C) -> bool (H, W)
    """
    height, width = strip.shape[:2]
    side = min(_LONGEST_BLOCK, max(1, min(height, width) // _BLOCKS))
    blocks = (max(1, width // side), max(1, height // side))
    # A few of a block's rows tell as much as all.
    grey = strip[:: max(1, side // 2)].max(axis=2)
    means = cv2.resize(grey, blocks, interpolation=cv2.INTER_AREA)
    bright = (means >= darkest_steel(strip)).astype(np.uint8)
    if bright.all():
        return np.ones((height, width), bool)
    bright = cv2.erode(bright, np.ones((3, 3), np.uint8))
    return cv2.resize(bright, (width, height), interpolation=cv2.INTER_NEAREST).view(bool)

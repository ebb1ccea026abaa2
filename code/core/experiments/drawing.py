"""What is drawn over a strip: a heat map, from cold (grey) to hot, a mask's outline, and text."""

from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.machine.fonts import Font, runs

# Of the map at its hottest; where it is cold, the strip stays grey.
OPACITY = 0.65
OUTLINE = (255, 255, 0)  # cyan in OpenCV's order: the one hue that the colour map does not have
PREDICTED_OUTLINE = (0, 150, 255)  # orange
COLOUR_MAP = cv2.COLORMAP_INFERNO
TEXT_SIZE = 15


def overlay(
    grey: np.ndarray,
    heat: np.ndarray,
    mask: np.ndarray | None,
    scale: tuple[float, float] | None = None,
) -> np.ndarray:
    """The map over the strip, and the mask's outline.

    `scale` are the values that are cold and hot, by default the map's smallest and largest.

    Shape: grey uint8, heat and mask (height, width) -> uint8 (height, width, 3).
    """
    low, high = scale or (float(heat.min()), float(heat.max()))
    # A map that is the same everywhere shows nothing.
    share = np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)
    colours = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), COLOUR_MAP)
    opacity = (OPACITY * share)[..., None]
    base = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    picture = np.round(base * (1 - opacity) + colours * opacity).astype(np.uint8)
    return outlined(picture, mask)


def outlined(
    picture: np.ndarray, mask: np.ndarray | None, colour: tuple[int, int, int] = OUTLINE
) -> np.ndarray:
    """The picture with the mask's outline, drawn just outside of the mask."""
    if mask is None or not mask.any():
        return picture
    around = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    picture = picture.copy()
    picture[(around > 0) & (mask == 0)] = colour
    return picture


def write_text(
    picture: np.ndarray, text: str, place: tuple[int, int], ink: tuple[int, int, int]
) -> None:
    """Write a line into the picture, in place; `place` is the left end of its base line.

    OpenCV's own text has ASCII only. Shape: picture uint8 (height, width, 3)
    """
    image = Image.fromarray(picture)
    x, y = place
    for piece, font in runs(text):
        ImageDraw.Draw(image).text((x, y), piece, ink, _loaded(font), anchor="ls")
        x += _loaded(font).getlength(piece)
    picture[:] = np.asarray(image)


def text_width(text: str) -> int:
    """How wide `write_text` writes a line, in pixels."""
    return round(sum(_loaded(font).getlength(piece) for piece, font in runs(text)))


@cache
def _loaded(font: Font) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font.file, TEXT_SIZE, font.index)

"""A picture of pairs: of what the method takes for the same, or of what it has to find."""

from pathlib import Path

import cv2
import numpy as np

from core.explaining.pictures import captioned, contact_sheet
from core.files.writing import replacing
from core.pretraining.painted_pairs import PaintedPairs
from core.pretraining.strips import ViewDataset

VIEWS_FILE = "view_pairs.jpg"
PAINTED_FILE = "painted_strips.jpg"
NUM_PAIRS = 12
_WIDEST = 790
_JPEG_QUALITY = 85
_CYAN = (255, 255, 0)


def write_pairs(folder: Path, dataset: ViewDataset) -> None:
    """Write a sheet of some strips, spread over all, each above its pair.

    view_pairs.jpg shows two views; painted_strips.jpg the painted strip, and again with outlines of
    its mask.
    """
    painted = isinstance(dataset.views, PaintedPairs)
    told = "painted, and its mask:" if painted else "its two views:"
    rows = dataset.rows[np.linspace(0, len(dataset) - 1, min(NUM_PAIRS, len(dataset)), dtype=int)]
    blocks = []
    for row in rows:
        strip, name = (
            dataset.strips.images.read(int(row)),
            Path(str(dataset.strips.names[row])).name,
        )
        first, second = dataset.pair(row)
        pair = [_picture(first), _outlined(first, second) if painted else _picture(second)]
        blocks.append([captioned(_picture(strip), f"{name}   {told}"), *pair])
    params = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", contact_sheet(blocks), params)
    with replacing(folder / (PAINTED_FILE if painted else VIEWS_FILE)) as temporary:
        temporary.write_bytes(content.tobytes())


def _picture(image: np.ndarray) -> np.ndarray:
    """Blue, green and red, no wider than half of a sheet."""
    code = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
    picture = cv2.cvtColor(np.ascontiguousarray(image), code)
    scale = min(1.0, _WIDEST / picture.shape[1])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture of an image with a line around the pixels of its mask."""
    picture = _picture(image)
    size = picture.shape[1::-1]
    drawn = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    grown = cv2.dilate(drawn, np.ones((3, 3), np.uint8))
    picture[(grown > 0) & (drawn == 0)] = _CYAN
    return picture
